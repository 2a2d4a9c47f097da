"""The form of a what-if, and what a replay can follow of it."""

from __future__ import annotations

from angelia.asking.night import open_night
from angelia.asking.settings import change
from angelia.console.planned import questions
from angelia.lake import Lake
from tests.unit.spark_jobs.test_plan_dispatch import DS


def test_a_replay_takes_what_a_plan_alone_can_follow(night):
    opened = open_night(night, DS)
    running = [campaign.id for campaign in opened.terms.campaigns]
    changed = change(opened.catalog, running, {"window.sale": "9-18", "caps.user_per_day": "1"})
    changes = questions.changes_of(opened, changed)
    assert changes["sale"] == {"send_window": {"start": 9, "end": 18}}
    assert {"messages": 1, "days": 1} in changes["policy"]["caps"]
    assert set(changes) == {"sale", "policy"}
    assert not questions.may_be_replayed("capacity.fcm")
    assert not questions.may_be_replayed("stop.sale")


def test_night_is_opened_once_for_a_plan(console, night):
    engine = console.app.state.engine
    assert questions.night_of(engine, night, DS) is questions.night_of(engine, Lake(night.store), DS)
