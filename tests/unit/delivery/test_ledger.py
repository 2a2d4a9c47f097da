"""Claims and intents: a part has one owner, and whether that one is provably gone."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

from angelia.delivery.ledger.ledger import Ledger, Owner, _start_ticks
from angelia.delivery.ledger.outcomes import merge, read
from angelia.delivery.manifest import parts
from angelia.lake import Lake
from tests.unit.delivery.given import ELSEWHERE, outcomes


def test_a_zombie_counts_as_gone() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken its code
    try:
        assert _start_ticks(process.pid) is None
        assert _start_ticks(os.getpid()) is not None
    finally:
        process.wait()


def test_a_part_has_one_owner_until_it_is_free(lake: Lake, part: parts.Part) -> None:
    now = [0]
    mine, theirs = (
        Ledger(lake.store, ELSEWHERE, lambda: now[0]),
        Ledger(lake.store, replace(ELSEWHERE, host="third"), lambda: now[0]),
    )
    claim = mine.claim(part)
    assert claim is not None
    assert theirs.claim(part) is None
    now[0] = 299 * 1_000_000
    mine.heartbeat(claim)
    now[0] = 500 * 1_000_000
    assert theirs.claim(part) is None
    now[0] = 600 * 1_000_000
    taken = theirs.claim(part)
    assert taken is not None
    assert taken.epoch == 2
    assert mine.is_fenced(claim)
    assert not theirs.is_fenced(taken)
    theirs.release(taken)
    again = mine.claim(part)
    assert again is not None
    forced = theirs.claim(part, takeover=True)
    assert forced is not None
    assert forced.epoch == 4


def test_an_owner_provably_dead_on_this_machine_holds_nothing(lake: Lake, part: parts.Part) -> None:
    alive = Owner.this_process()
    assert not alive.is_dead()
    assert replace(alive, started="0").is_dead()  # the number was given to another process
    assert replace(alive, pid=2**22 + 1).is_dead()
    assert not replace(alive, pid=2**22 + 1, host="elsewhere").is_dead()  # who knows
    assert Ledger(lake.store, replace(alive, started="0"), lambda: 0).claim(part) is not None
    assert Ledger(lake.store, alive, lambda: 0).claim(part) is not None
    assert Ledger(lake.store, ELSEWHERE, lambda: 0).claim(part) is None


def test_an_intent_has_one_owner_and_late_truth_is_kept(lake: Lake, part: parts.Part) -> None:
    first, second = (
        Ledger(lake.store, ELSEWHERE, lambda: 0),
        Ledger(lake.store, replace(ELSEWHERE, host="third"), lambda: 0),
    )
    a = first.claim(part)
    b = second.claim(part, takeover=True)
    assert a is not None
    assert b is not None
    assert first.intend(a, 0, 4, 4, 99)
    assert not second.intend(b, 0, 4, 4, 99)
    assert second.intend(b, 0, 4, 4, 99, again=True)
    assert [intent.epoch for intent in first.intents(part.id)[0]] == [1, 2]
    assert second.conclude(b, 0, outcomes([("ambiguous", 4)]))
    assert not first.conclude(a, 0, outcomes([("accepted", 2), ("ambiguous", 2)]))
    merged = merge(read(data) for data in first.read_outcomes(part.id))
    assert merged["outcome"].to_pylist() == ["accepted", "accepted", "ambiguous", "ambiguous"]
