"""The page's totals are those of `angelia ledger status`, whatever state the ledger is in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from angelia.console.dispatch import Dispatch, DispatchCell, dispatch_of
from angelia.console.engine import Engine
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, DEFERRED, REJECTED, SKIPPED
from angelia.delivery.ledger import outcomes
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.status import status
from angelia.delivery.manifest import parts, sample_plan

DS = "2026-11-14"
NOW = datetime(2026, 11, 15, 5, 30, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
BATCH = 10


@pytest.fixture
def night(lake):
    """Publish 60 messages of two campaigns in two hours; return ledger and first part."""
    names = {"campaign_id": lambda number: "price_drop" if number % 3 else "win_back"}
    commit = sample_plan.make(lake, DS, 60, hours=(4, 6), changes=names)
    ledger = Ledger(lake.store, Owner.this_process(), lambda: NOW_US)
    part = parts.parts_of(lake, commit, "2026-11-15T04")[0]
    return ledger, part


def intend(ledger, claim, k):
    assert ledger.intend(claim, k, BATCH, BATCH, NOW_US + 60_000_000)


def conclude(ledger, claim, k, words, at_us=NOW_US):
    batch = outcomes.Outcomes(range(k * BATCH, k * BATCH + len(words)))
    batch.outcome, batch.at, batch.sent = list(words), [at_us] * len(words), [at_us] * len(words)
    ledger.conclude(claim, k, batch.to_bytes())


def same_as_the_command(engine, lake):
    dispatch, wanted = dispatch_of(engine, lake, DS), status(lake, DS)
    assert dict(sorted(dispatch.outcomes.items())) == wanted["outcomes"]
    for name in ("parts", "parts_done", "rows", "rows_open", "open_intents", "rows_intended"):
        assert getattr(dispatch, name) == wanted[name], name
    assert sum(cell.planned for cell in dispatch.cells) == wanted["rows"]
    return dispatch


def test_totals_equal_the_commands_at_every_step(lake, night):
    ledger, part = night
    engine = Engine(lambda: NOW)
    assert same_as_the_command(engine, lake).rows_open == 60
    claim = ledger.claim(part)
    intend(ledger, claim, 0)
    assert same_as_the_command(engine, lake).rows_intended == BATCH
    conclude(ledger, claim, 0, [ACCEPTED] * 8 + [REJECTED, SKIPPED])
    assert same_as_the_command(engine, lake).outcomes[ACCEPTED] == 8
    # A worker that was killed left an intent; another takes over, and the true outcome comes late.
    intend(ledger, claim, 1)
    assert same_as_the_command(engine, lake).rows_intended == BATCH
    other = ledger.claim(part, takeover=True)
    conclude(ledger, other, 1, [AMBIGUOUS] * BATCH)
    assert same_as_the_command(engine, lake).outcomes[AMBIGUOUS] == BATCH
    conclude(ledger, claim, 1, [ACCEPTED] * 4 + [AMBIGUOUS] * 6)
    assert same_as_the_command(engine, lake).outcomes[AMBIGUOUS] == 6
    intend(ledger, other, 2)
    conclude(ledger, other, 2, [DEFERRED] * BATCH)
    parts.follow_up(lake, part, range(20, 30), "deferred", "follow.deferred-0001")
    dispatch = same_as_the_command(engine, lake)
    assert (dispatch.outcomes[DEFERRED], dispatch.parts) == (BATCH, 3)
    ledger.finish(part.id, {})
    assert same_as_the_command(engine, lake).parts_done == 1


def test_cells_name_campaign_hour_and_channel(lake, night):
    ledger, part = night
    claim = ledger.claim(part)
    conclude(ledger, claim, 0, [ACCEPTED] * BATCH)
    dispatch = dispatch_of(Engine(lambda: NOW), lake, DS)
    by_hour = dispatch.by("send_hour", dispatch.cells)
    assert [(tally.label, tally.planned, tally.open) for tally in by_hour] == [
        ("2026-11-15T04", 30, 20),
        ("2026-11-15T06", 30, 30),
    ]
    by_campaign = {tally.label: tally for tally in dispatch.by("campaign_id", dispatch.cells)}
    assert {name: tally.planned for name, tally in by_campaign.items()} == {"price_drop": 40, "win_back": 20}
    assert sum(tally.outcomes[ACCEPTED] for tally in by_campaign.values()) == BATCH
    assert {cell.channel for cell in dispatch.cells} == {"fcm"}


def test_only_new_outcomes_are_read(lake, night, monkeypatch):
    from angelia.console import dispatch

    ledger, part = night
    engine, looked = Engine(lambda: NOW), []
    real = dispatch._look
    monkeypatch.setattr(dispatch, "_look", lambda *given: looked.append(1) or real(*given))
    dispatch_of(engine, lake, DS)
    dispatch_of(engine, lake, DS)
    assert len(looked) == 2
    conclude(ledger, ledger.claim(part), 0, [ACCEPTED] * BATCH)
    dispatch_of(engine, lake, DS)
    assert len(looked) == 3


def test_rate_and_time_to_go_are_of_the_newest_minutes():
    minute = NOW_US // 60_000_000
    cells = [
        DispatchCell("2026-11-15T05", "fcm", "sale", 1_000, {ACCEPTED: 400}),
        DispatchCell("2026-11-15T06", "fcm", "sale", 500, {}),
    ]
    dispatch = Dispatch(DS, cells, rows=1_500, now=NOW)
    assert dispatch.rate_per_minute is None
    dispatch.minutes.update({minute - 30: 5_000, minute - 1: 60, minute: 40})
    assert dispatch.is_sending
    assert dispatch.rate_per_minute == 50
    assert dispatch.seconds_to_go(cells) == 720  # the 600 of the hour that has begun, not the 500 of the next
    dispatch.now = datetime(2026, 11, 15, 5, 35, tzinfo=UTC)
    assert (dispatch.is_sending, dispatch.rate_per_minute) == (False, None)


def test_an_hour_with_unsent_messages_is_never_called_done():
    cells = [
        DispatchCell("2026-11-15T03", "fcm", "sale", 10, {ACCEPTED: 9}),
        DispatchCell("2026-11-15T04", "fcm", "sale", 10, {ACCEPTED: 10}),
        DispatchCell("2026-11-15T04", "sms", "sale", 10, {ACCEPTED: 9, DEFERRED: 1}),
        DispatchCell("2026-11-15T09", "fcm", "sale", 10, {}),
    ]
    dispatch = Dispatch(DS, cells, rows=40, now=NOW)
    states = {tally.label: tally.state for tally in dispatch.by("send_hour", cells)}
    assert states == {"2026-11-15T03": "unsent", "2026-11-15T04": "put off", "2026-11-15T09": "later"}
