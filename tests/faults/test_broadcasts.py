"""Pains of other senders that take processes and sockets to try.

The others stand beside their modules' tests; `pytest -m pain` runs all.
"""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.manifest import sample_plan

pytestmark = pytest.mark.integration
DS = "2026-11-14"


@pytest.mark.pain(1)
def test_concurrent_broadcasts_reach_everybody_once(new_site: Any) -> None:
    """Two workers send at once, the plan is emitted again, and the task is cleared and rerun."""
    site = new_site("at_most_once", prefix="slow-", part_rows=200)
    first = site.fork()
    site.wait_until_sending(first)
    changes = {"address": lambda n: f"other-{n}", "user_id": lambda n: f"again{n}"}
    sample_plan.make(site.lake, DS, 600, changes=changes)  # another manifest for an hour that is sealed
    second = site.fork()
    for process in (first, second):
        process.join(120)
        assert process.exitcode in (0, 3)
    again = site.resume()
    assert (again.unfinished, sum(again.delivered.values())) == (0, 0)
    assert site.received() == dict.fromkeys(site.dispatches, 1)
    assert set(site.ledger()) == site.dispatches
    assert set(site.ledger().values()) == {"accepted"}


@pytest.mark.pain(14)
def test_many_tokens_share_connections_and_a_bearer(new_site: Any) -> None:
    """Many requests are in flight over few connections and with one bearer.

    Each answer takes 0.4 s: one after the other they would take four minutes, and a connection or a bearer
    for each would earn a 429.
    """
    site = new_site("at_most_once", prefix="slow-")
    before = site.sandbox.stats()
    assert site.resume().delivered == {"accepted": 600}
    after = site.sandbox.stats()
    assert after["outcomes"]["token_granted"] - before["outcomes"].get("token_granted", 0) == 1
    assert (
        after["connections"] - before["connections"] <= 1 + 2 + 2
    )  # the bearer's, two to send by, two of this test's own questions
    assert after["most_under_way"] >= 100
