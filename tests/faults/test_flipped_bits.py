"""Bits of the ledger flip between a kill -9 and the takeover; a sandbox counts messages.

The promise: unaccounted 0, marketing doubled 0; what is damaged is named by its key, and after its repair the
delivery continues.
"""

from __future__ import annotations

import random
import signal
from typing import Any

import pytest

from angelia.errors import Corrupt

pytestmark = pytest.mark.integration
FOLDERS = ("claims", "done", "intents", "outcomes", "released", "seals", "sights")
FLIPS = 8


def half_sent(new_site: Any) -> Any:
    """Return a site with one of three parts done, and another left half done by a kill."""
    site = new_site("at_most_once", part_rows=200)
    assert site.resume(part=0).parts == 1
    killed = site.fork("after_send:90", part=1)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    return site


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_flipped_bit_doubles_nothing(folder: str, new_site: Any) -> None:
    site, rng = half_sent(new_site), random.Random(folder)
    store = site.lake.store
    keys = list(store.list(folder))
    for _ in range(FLIPS):
        key = rng.choice(keys)
        path = store.local_path(key)
        path.chmod(0o644)
        sound = path.read_bytes()
        flipped = bytearray(sound)
        flipped[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            named = [error.message for error in site.resume(takeover=True).damaged]
        except Corrupt as error:
            named = [error.message]
        assert set(named) <= {f"{key} is damaged"}
        assert max(site.received().values()) == 1
        path.write_bytes(sound)
    assert site.resume(takeover=True).unfinished == 0
    received, ledger = site.received(), site.ledger()
    assert set(ledger) == site.dispatches
    assert set(received.values()) == {1}
    assert {word for dispatch, word in ledger.items() if dispatch not in received} <= {"ambiguous"}


def test_a_smaller_batch_in_an_intent_sends_nothing_twice(new_site: Any) -> None:
    site = half_sent(new_site)
    ids = {key.split("/")[1] for key in site.lake.store.list("claims")}
    ids -= {key.split("/")[1] for key in site.lake.store.list("done")}
    (part,) = ids
    for key in list(site.lake.store.list(f"intents/{part}")):
        path = site.lake.store.local_path(key)
        path.chmod(0o644)
        assert b'"size": 60' in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(b'"size": 60', b'"size": 20'))
    before = site.received()
    code, result, errors = site.deliver("--takeover", "--part", "1")
    assert (code, result) == (2, {})
    fix = "restore it from a backup, then rerun; nothing of it was sent or changed"
    assert errors == f"error: intents/{part}/000000 is damaged; {fix}\n"
    assert site.received() == before
    code, result, errors = site.deliver("--takeover")
    assert (code, result["parts"], result["unfinished_parts"]) == (3, 1, 1)
    assert result["damaged"] == [f"intents/{part}/000000 is damaged"]
    assert f"not sent: intents/{part}/000000 is damaged" in errors
    assert "Traceback" not in errors
    assert set(site.received().values()) == {1}
