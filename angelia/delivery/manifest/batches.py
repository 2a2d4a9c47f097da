"""Batches of the intake: published, then sealed to one commit, and only that one is sent.

Reads and writes `dispatch_intake` and `batches/{ds}/{send_hour}.{batch}`. Grain: batch. Surprise: a
dispatcher that was taken for dead may publish a batch again, but the seal stands: whoever comes second sends
what the first one sealed.
"""

from __future__ import annotations

from angelia.delivery.manifest.objects import create_json, fields_of, read_json
from angelia.delivery.manifest.parts import INTAKE
from angelia.errors import Corrupt
from angelia.lake import Commit, Lake


def seal_batch(lake: Lake, commit: Commit, at: str) -> Commit:
    """Return the one commit that is sent of a batch, sealing this one if none is.

    Raises:
        Corrupt: the seal is damaged, or the sealed commit's content has changed.
    """
    body = {"commit": commit.number, "sha256": commit.sha256, "ref": commit.ref, "sealed_ts": at}
    create_json(lake.store, _key(commit.partition["ds"], *_leaf(commit)), body)
    sealed = sealed_batch(lake, commit.partition["ds"], *_leaf(commit))
    assert sealed is not None, "it was sealed a moment ago"
    return sealed


def sealed_batch(lake: Lake, ds: str, send_hour: str, batch: str) -> Commit | None:
    """Return the commit that a batch is sealed to, None if it is not.

    Raises:
        Corrupt: the seal is damaged, or the sealed commit's content has changed.
    """
    key = _key(ds, send_hour, batch)
    if not lake.store.exists(key):
        return None
    document = read_json(lake.store, key)
    with fields_of(key):
        number, sha256 = int(document["commit"]), str(document["sha256"])
    commit = lake.as_of(INTAKE, number, ds=ds, send_hour=send_hour, part=batch)
    if commit.sha256 != sha256 and not commit.erased:
        raise Corrupt(f"{commit.ref} is not the commit that was sealed", fix="run `angelia lake verify`")
    return commit


def _key(ds: str, send_hour: str, batch: str) -> str:
    # A folder of its own: what stands in seals/{ds} are a plan's hours.
    return f"batches/{ds}/{send_hour}.{batch}"


def _leaf(commit: Commit) -> tuple[str, str]:
    return commit.partition["send_hour"], commit.partition["part"]
