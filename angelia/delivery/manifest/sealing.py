"""Which manifest an hour is sealed to, while another may be published at the same instant.

Reads `dispatch_manifest` commits and `seals/`; writes `sealing/{ds}/{send_hour}.{number}` (somebody means to
seal the hour to this commit) and `sealable/{ds}/{send_hour}.{number}` (whether that may be: the first answer
stands). Grain: send hour. Promise: if one hour is sealed to a commit and another hour to a later one, the
later commit holds for the first hour the very files that it is sent by. So no message that moved from one
hour to another goes twice. It holds because (1) whoever seals an hour to a commit writes first that they mean
to, and looks then whether the commit is still the newest: any later one is published after that; (2) whoever
takes a later one looks first for such marks, sees this one therefore, and forbids it, or learns that it
stands; (3) of permission and ban only one can be created. Surprise: nobody waits for anybody, and a worker
killed between any two of these holds up no other.
"""

from __future__ import annotations

from angelia.delivery.manifest.objects import create_json, fields_of, read_json
from angelia.delivery.manifest.served import require_manifest
from angelia.errors import Conflict
from angelia.lake import Commit, Lake

_MANIFEST = "dispatch_manifest"


def seal_key(ds: str, send_hour: str) -> str:
    """Return the key of an hour's seal."""
    return f"seals/{ds}/{send_hour}"


def sealed_number(lake: Lake, ds: str, send_hour: str) -> tuple[int, str]:
    """Return number and sha256 of the manifest commit that a seal names.

    Raises:
        Corrupt: the seal is damaged.
    """
    key = seal_key(ds, send_hour)
    document = read_json(lake.store, key)
    with fields_of(key):
        return int(document["manifest"]), str(document["sha256"])


def sealed_numbers(lake: Lake, ds: str) -> dict[str, int]:
    """Return the manifest commit of each sealed hour.

    An hour counts whose worker ended before it wrote the seal.

    Raises:
        Corrupt: a seal is damaged.
    """
    hours = lake.store.children(f"seals/{ds}")
    sealed = {hour: sealed_number(lake, ds, hour)[0] for hour in hours}
    for hour, number in _meant(lake, ds):
        if hour in sealed or not lake.store.exists(_answer_key(ds, hour, number)):
            continue
        if _settle(lake, ds, hour, number, False):
            sealed[hour] = number
    return sealed


def agree(lake: Lake, ds: str, send_hour: str) -> Commit:
    """Return the commit that an hour without a seal is to be sealed to, and only that.

    Raises:
        Conflict: the newest manifest was made in ignorance of another hour that is sealed.
        NotFound: the night has no manifest.
    """
    while True:
        head = require_manifest(lake, ds)
        create_json(lake.store, f"sealing/{ds}/{_mark(send_hour, head.number)}", {})
        if require_manifest(lake, ds).number != head.number:
            continue
        passed = passed_over(lake, head)
        if send_hour in passed:  # a worker that ended before it wrote the seal, or is about to
            return lake.as_of(_MANIFEST, passed[send_hour], ds=ds)
        _refuse(head, passed)
        if _settle(lake, ds, send_hour, head.number, True):
            return head


def passed_over(lake: Lake, commit: Commit) -> dict[str, int]:
    """Return the hours sealed to earlier manifests for which this one holds other files.

    Hours that somebody only meant to seal to an earlier one are not sealed to it any more.
    """
    ds, meant = commit.partition["ds"], _meant(lake, commit.partition["ds"])
    passed = {
        hour: number
        for hour, number in meant
        if number < commit.number
        and not _carries(lake, commit, hour, number)
        and _settle(lake, ds, hour, number, False)
    }
    # Seals of releases before this one have no marks.
    for hour in set(lake.store.children(f"seals/{ds}")) - {hour for hour, _ in meant}:
        number, _ = sealed_number(lake, ds, hour)
        if number < commit.number and not _carries(lake, commit, hour, number):
            passed[hour] = number
    return passed


def standing(lake: Lake, ds: str) -> Commit:
    """Return the newest manifest that passes over no sealed hour: what is sent goes by it.

    Raises:
        NotFound: the night has no manifest.
    """
    head = require_manifest(lake, ds)
    for number in reversed(lake.numbers(head.branch, _MANIFEST, head.partition)):
        commit = lake.load(head.branch, _MANIFEST, head.partition, number)
        if not passed_over(lake, commit):
            return commit
    return head


def require_none_passed_over(lake: Lake, commit: Commit) -> None:
    """Refuse a manifest that was made in ignorance of a sealed hour.

    No worker seals another hour to it, either.

    Raises:
        Conflict: it was.
    """
    _refuse(commit, passed_over(lake, commit))


def _refuse(commit: Commit, passed: dict[str, int]) -> None:
    if passed:
        raise Conflict(
            f"workers began to send {', '.join(sorted(passed))} while {commit.ref} was published, which puts "
            "messages of it elsewhere; nothing is sent by that one",
            fix="rerun emit_manifests",
        )


def _meant(lake: Lake, ds: str) -> list[tuple[str, int]]:
    """Return the hours that somebody meant to seal, each with the number of a commit."""
    marks = [name.rpartition(".") for name in lake.store.children(f"sealing/{ds}")]
    return [(hour, int(number)) for hour, _, number in marks]


def _settle(lake: Lake, ds: str, send_hour: str, number: int, may: bool) -> bool:
    """Return whether an hour may be sealed to a commit; what was settled first stands.

    Raises:
        Corrupt: the answer is damaged.
    """
    key = _answer_key(ds, send_hour, number)
    if create_json(lake.store, key, {"may": may}):
        return may
    document = read_json(lake.store, key)
    with fields_of(key):
        return bool(document["may"])


def _carries(lake: Lake, commit: Commit, send_hour: str, number: int) -> bool:
    """Return whether a manifest holds for an hour what an earlier one does."""
    before = lake.load(commit.branch, _MANIFEST, commit.partition, number)
    now, then = (
        {entry.identity for entry in each.files if entry.keys.get("send_hour") == send_hour}
        for each in (commit, before)
    )
    return now == then


def _mark(send_hour: str, number: int) -> str:
    return f"{send_hour}.{number:08d}"


def _answer_key(ds: str, send_hour: str, number: int) -> str:
    return f"sealable/{ds}/{_mark(send_hour, number)}"
