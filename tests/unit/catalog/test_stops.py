"""A campaign paused on one channel: log, command, the next night, the worker's gate."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from angelia import cli
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.snapshot import (
    load_snapshot,
    paused_channels,
    stopped_campaigns,
    write_snapshot,
)
from angelia.catalog.stops import set_stopped
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.users.suppressions import Guards
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE, TEMPLATE
from tests.unit.delivery.given import stop

DS = "2026-11-14"
NOW = datetime(2026, 11, 15, tzinfo=UTC)
TWO = SALE | {"channels": ["fcm", "sms"]}
SMS = CHANNEL | {"id": "sms", "provider": "webhook"}


@pytest.fixture
def store(settings_home, tmp_path):
    """Return a catalog with a campaign on two channels."""
    words = {"title": "{{ item }}", "body": "{{ item }}"}
    template = TEMPLATE | {"channels": ["fcm", "sms"], "variables": {"item": {}}, "variants": {"en": words}}
    template |= {"link": "https://shop.example/"}
    path = tmp_path / "catalog.yaml"
    path.write_text("\n---\n".join(map(json.dumps, (POLICY, template, SHOE, EVERYONE, CHANNEL, SMS, TWO))))
    store = CatalogStore.open(load_settings().catalog_url())
    carry_out(store, plan(store, [path]), actor="test", at=NOW)
    return store


def run(*words):
    with pytest.raises(SystemExit) as left:
        cli.main(list(words))
    assert left.value.code == 0


def pause(lake, store, action="pause", channel="sms"):
    action = "stop" if action == "pause" else action
    return set_stopped(lake, store, "sale", action, actor="ann", at=NOW, reason="x", channel=channel)


def test_a_pause_holds_one_channel_of_one_campaign(lake: Lake) -> None:
    guards = Guards(lake, DS, lambda: 0)
    ask = (["sale", "digest"], ["u1", "u2"])
    stop(lake, "sale", channel="sms")
    assert asyncio.run(guards.refresh())
    assert guards.blocked(*ask, "sms", ["a", "b"]) == ["paused", None]
    assert guards.blocked(*ask, "fcm", ["a", "b"]) == [None, None]
    stop(lake, "sale", n=1)
    asyncio.run(guards.refresh())
    assert guards.blocked(*ask, "sms", ["a", "b"]) == ["stopped", None]
    stop(lake, "sale", action="resume", n=2)
    asyncio.run(guards.refresh())
    assert guards.blocked(*ask, "sms", ["a", "b"]) == ["paused", None]
    stop(lake, "sale", action="resume", n=3, channel="sms")
    asyncio.run(guards.refresh())
    assert guards.blocked(*ask, "sms", ["a", "b"]) == [None, None]


def test_entries_of_the_first_version_hold_everywhere(lake: Lake) -> None:
    stop(lake, "sale", channel="sms")
    old = lake.read_log("stops").drop_columns(["channel"])
    old = old.set_column(1, "campaign_id", pa.array(["digest"]))
    with lake.attempt("stops", log="0") as attempt:
        attempt.write(old, "entries.parquet", conform=False)
        attempt.publish()
    assert stopped_campaigns(lake) == {"digest"}
    assert paused_channels(lake) == {("sale", "sms")}


def test_a_pause_is_recorded_and_lifted_by_itself(lake: Lake, store: CatalogStore) -> None:
    assert pause(lake, store)
    assert not pause(lake, store)
    assert paused_channels(lake) == {("sale", "sms")}
    assert stopped_campaigns(lake) == set()
    assert pause(lake, store, "resume")
    assert paused_channels(lake) == set()
    trail = [(entry.action, entry.detail) for entry in store.audit("campaign", "sale") if not entry.version]
    assert trail == [("stop", "on sms: x"), ("resume", "on sms: x")]


def test_a_channel_that_is_not_used_is_refused(lake: Lake, store: CatalogStore) -> None:
    with pytest.raises(InvalidInput, match="sale does not use email") as error:
        pause(lake, store, channel="email")
    assert error.value.fix == "it uses fcm, sms"


def test_the_next_night_leaves_the_channel_out(lake: Lake, store: CatalogStore) -> None:
    free = write_snapshot(lake, store, "2026-11-13")
    pause(lake, store)
    paused = write_snapshot(lake, store, DS)
    assert load_snapshot(lake, "2026-11-13").campaigns["sale"].channels == ("fcm", "sms")
    catalog = load_snapshot(lake, DS)
    assert catalog.campaigns["sale"].channels == ("fcm",)
    assert "sale" not in catalog.stopped
    assert free.params != paused.params
    pause(lake, store, channel="fcm")
    write_snapshot(lake, store, "2026-11-15")
    assert load_snapshot(lake, "2026-11-15").stopped == {"sale"}


def test_without_a_pause_a_snapshot_says_what_it_did(lake: Lake, store: CatalogStore) -> None:
    pause(lake, store)
    pause(lake, store, "resume")
    assert write_snapshot(lake, store, DS).meta == {"stopped": []}


def test_the_command_pauses_one_channel(lake: Lake, store: CatalogStore, capsys) -> None:
    words = ["catalog", "stop", "sale", "--channel", "sms", "--reason", "sender is down", "--actor", "ann"]
    run(*words)
    assert capsys.readouterr().out == "sale on sms is paused\n"
    run("catalog", "list", "campaign")
    assert capsys.readouterr().out.rstrip().endswith("PAUSED ON sms")
    run("catalog", "resume", "sale", "--channel", "sms", "--json")
    assert json.loads(capsys.readouterr().out)["channel"] == "sms"
    assert paused_channels(lake) == set()


def test_a_template_that_goes_by_itself_can_be_stopped(lake: Lake, store: CatalogStore) -> None:
    words = {"actor": "ann", "at": NOW, "reason": "wrong price"}
    assert set_stopped(lake, store, f"marketing__{TEMPLATE['id']}", "stop", **words)
    assert stopped_campaigns(lake) == {f"marketing__{TEMPLATE['id']}"}
    with pytest.raises(NotFound):
        set_stopped(lake, store, "marketing__gone", "stop", **words)
