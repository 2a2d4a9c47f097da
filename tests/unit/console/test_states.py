"""Each state of a campaign, by what catalog, stops, guard and ledger say."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from angelia.catalog.apply import carry_out, plan
from angelia.catalog.stops import set_stopped
from angelia.console import states
from angelia.console.engine import Engine
from angelia.contracts.certificate import Messages, messages_meta
from angelia.contracts.outcomes import ACCEPTED
from angelia.delivery.ledger import outcomes
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest import parts, sample_plan
from angelia.lake import numbered
from angelia.planning.verdict import TOPIC
from tests.planned_night import CHANNEL, DS, EVERYONE, POLICY, SALE, SHOE, TEMPLATE, decide, plan_a_night

NOW = datetime(2026, 11, 15, 5, 30, tzinfo=UTC)
START = datetime(2026, 11, 15, 4, tzinfo=UTC)
PERSON = {
    "campaign_id": "sale", "message_id": "0" * 32, "occurrence": DS, "material_id": None,
    "material_propensity": None, "slot": None, "slot_propensity": None, "channel": None, "outcome": "capped",
    "p_open": 0.1, "value_micros": 1, "price_micros": 0, "arm": None, "is_explore": False,
}  # fmt: skip


# Nothing of the person is known here, so every variable has a value of its own.
PLAIN = {**TEMPLATE, "variables": {"item": {}, "province": {"default": "here"}}}


class Seen:
    """A catalog of one campaign and a lake, and where the campaign stands in them."""

    def __init__(self, lake, folder, store):
        self.lake, self.folder, self.store = lake, folder, store
        self.now = NOW

    def apply(self, **changes):
        documents = [POLICY, PLAIN, SHOE, EVERYONE, CHANNEL, {**SALE, **changes}]
        (self.folder / "all.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
        carry_out(self.store, plan(self.store, [self.folder]), actor="ada", at=NOW)
        return self

    def planned(self, n, **choice):
        """Publish a plan of n messages of the sale, after considering a few people."""
        decide(self.lake, [[{**PERSON, **choice}]] * 3 if choice else [[]])
        table = self.lake.read(self.lake.require("decisions", ds=DS))
        cells = [Messages("2026-11-15T04", "fcm", "sale", n)] if n else []
        meta = {"start": START.isoformat(), "messages": messages_meta(cells)}
        with self.lake.attempt("decisions", ds=DS) as attempt:
            attempt.write(table, "part-0000.parquet")
            return attempt.publish(meta=meta)

    def judged(self, decisions, **verdict):
        numbered.store(self.lake, TOPIC, DS, {"decisions": decisions.citation(), "breaches": [], **verdict})

    def emitted(self, decisions, n, *, held=()):
        keys = {"send_hour": "2026-11-15T04", "channel": "fcm", "priority": "medium"}
        name = "/".join(f"{key}={value}" for key, value in keys.items()) + "/part-0000.parquet"
        other = "sale" if not held else "digest"
        with self.lake.attempt("dispatch_manifest", ds=DS) as attempt:
            attempt.write(sample_plan.rows(0, n, START, campaign_id=other), name, keys=keys)
            commit = attempt.publish(inputs=[decisions], params={"held_back": list(held)} if held else {})
        return parts.parts_of(self.lake, commit, "2026-11-15T04")[0]

    def sent(self, part, n):
        ledger = Ledger(self.lake.store, Owner.this_process(), lambda: int(NOW.timestamp() * 1e6))
        batch, at = outcomes.Outcomes(range(n)), int(NOW.timestamp() * 1e6)
        batch.outcome, batch.at = [ACCEPTED] * n, [at] * n
        ledger.conclude(ledger.claim(part), 0, batch.to_bytes())

    def stands(self):
        engine = Engine(lambda: self.now)
        head = self.store.get("campaign", "sale")
        standing = states.standing_of(engine, self.lake, head, states.night_of(engine, self.lake))
        return standing.state, standing.why


@pytest.fixture
def seen(lake, tmp_path, catalog_of):
    """Return a catalog with the sale applied, and no night yet."""
    folder = tmp_path / "documents"
    folder.mkdir()
    return Seen(lake, folder, catalog_of("empty")).apply()


def test_without_a_night_it_is_due(seen):
    assert seen.stands() == ("due", "no night has been planned yet")


@pytest.mark.parametrize(
    ("today", "state"),
    [("2026-10-31", "due"), ("2026-11-01", "due"), ("2026-12-31", "due"), ("2027-01-01", "ended")],
)
def test_its_days_begin_and_end_with_their_dates(seen, today, state):
    seen.now = datetime.fromisoformat(today).replace(hour=12, tzinfo=UTC)
    assert seen.stands()[0] == state


def test_a_triggered_campaign_waits_for_events_not_nights(seen):
    seen.apply(trigger={"event": "cart", "without": "purchase", "within_minutes": 60}).planned(0)
    state, why = seen.stands()
    assert state == states.RUNNING
    assert why.startswith("set off by cart unless purchase follows within 60 min; in no night's plan")


def test_a_running_campaign_says_how_many_are_to_go(seen):
    part = seen.emitted(seen.planned(10), 10)
    assert seen.stands() == ("running", "0 of 10 sent, 10 went unsent: their hours have passed")
    seen.sent(part, 4)
    assert seen.stands() == ("running", "4 of 10 sent, 6 to go")


def test_a_night_long_over_is_not_running(seen):
    seen.sent(seen.emitted(seen.planned(10), 10), 10)
    assert seen.stands() == ("running", "10 of 10 sent")
    seen.now = NOW + timedelta(days=3)
    assert seen.stands() == ("due", f"last in the night {DS}: 10 of 10 sent; no night was planned since")


def test_a_stopped_campaign_names_who_why_and_the_unsent(seen):
    seen.sent(seen.emitted(seen.planned(10), 10), 4)
    set_stopped(seen.lake, seen.store, "sale", "stop", actor="ada", at=NOW, reason="wrong price")
    state, why = seen.stands()
    assert state == "stopped"
    assert why == "by ada, 2026-11-15 05:30 UTC: wrong price; 6 planned messages are unsent"
    set_stopped(seen.lake, seen.store, "sale", "resume", actor="bob", at=NOW, reason="mended")
    assert seen.stands()[0] == "running"


def test_what_the_guard_holds_waits_until_manifests_are_written(seen):
    decisions = seen.planned(10)
    breach = {"campaigns": ["sale"], "severity": "campaign", "says": "sale asks for approval: 10 planned"}
    seen.judged(decisions, verdict="campaigns", held=["sale"], breaches=[breach])
    says = f"night {DS}: sale asks for approval: 10 planned"
    assert seen.stands() == ("waiting for approval", says)
    seen.emitted(decisions, 5, held=("sale",))
    assert seen.stands() == ("held back", f"left out of the {says}")


def test_what_was_approved_runs(seen):
    decisions = seen.planned(10)
    seen.judged(decisions, verdict="campaigns", held=["sale"])
    seen.emitted(decisions, 10)
    assert seen.stands()[0] == "running"


def test_a_verdict_on_another_plan_holds_nothing(seen):
    seen.judged(seen.planned(9), verdict="night", held=[])
    assert seen.stands()[0] == "waiting for approval"
    seen.planned(10)
    assert seen.stands() == ("due", f"10 planned in the night {DS}, manifests are not written yet")


def test_nothing_planned_names_the_reasons(seen):
    seen.emitted(seen.planned(0, outcome="capped"), 5, held=("digest",))
    state, why = seen.stands()
    assert state == "nothing planned"
    assert why.startswith(f"night {DS} considered 3 people: the frequency caps leave no room")
    assert why.endswith("(3)")


def test_nobody_considered_names_the_audience(seen):
    seen.planned(0)
    assert seen.stands()[0] == "nothing planned"
    assert "considered nobody: audience everyone was empty" in seen.stands()[1]


def test_a_day_off_is_no_fault(seen):
    seen.apply(occurrence={"every": "daily", "weekdays": ["wed"]})
    seen.planned(0)
    assert seen.stands() == ("due", "does not come on 2026-11-15")


@pytest.mark.parametrize(
    ("changes", "today", "day"),
    [
        ({}, "2026-11-15", date(2026, 11, 16)),
        ({}, "2026-10-01", date(2026, 11, 1)),
        ({}, "2026-12-31", None),
        ({"occurrence": {"every": "weekly", "weekdays": ["wed"]}}, "2026-11-18", date(2026, 11, 25)),
    ],
)
def test_the_next_day_is_the_next_it_may_come(seen, changes, today, day):
    campaign = seen.apply(**changes).store.get("campaign", "sale").document
    assert states.next_day(campaign, date.fromisoformat(today)) == day


def test_a_planned_night_is_read_as_the_job_writes_it(seen):
    plan_a_night(seen.lake)
    decisions = seen.lake.require("decisions", ds=DS)
    assert states.reasons_of(Engine(), seen.lake, decisions) == {"sale": {"sent": 8}, "digest": {"capped": 8}}
