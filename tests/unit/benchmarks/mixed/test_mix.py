"""What the storm benchmark says of a run: ratios, and what was lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest import sample_plan
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.sandbox.rules import Rules
from benchmarks.mixed import mix, plan

DS, HOUR = "2026-11-14", "2026-11-15T04"


WEATHER = mix.Weather(10, 2)


def test_storms_and_calm_take_turns_and_changes_are_left_out() -> None:
    assert WEATHER.storms() == [10, 30]
    assert WEATHER.sending_s == 50
    spells = {5: None, 10: None, 11.9: None, 12: "storm", 19.9: "storm", 20: None, 22: "calm", 35: "storm"}
    assert {at: WEATHER.at(at) for at in spells} == spells
    assert [WEATHER.at(at) for at in (-1, 49, 50, 55)] == [None, "calm", None, None]


def test_healthy_channels_are_compared_and_the_stormy_one_is_not() -> None:
    began = 1_000.0
    calm, stormy = ([(began + at + n / 100, ms) for n in range(50)] for at, ms in ((25, 10.0), (15, 12.0)))
    sent = {name: [(began, 7_000.0), *calm, *stormy] for name in plan.CHANNELS}
    sent["sms"] = [*calm, *((at, 30.0) for at, _ in stormy)]
    figures = mix.compared(sent, "fcm", WEATHER)
    assert set(figures["channels"]) == set(plan.CHANNELS) - {"fcm"}
    assert figures["channels"]["sms"]["p99_ms"] == [10.0, 30.0]
    assert figures["channels"]["apns"]["p99_ratio"] == 1.2
    assert (figures["p50_ratio"], figures["p99_ratio"], figures["worst_p99_ratio"]) == (1.2, 3.0, 3.0)
    with pytest.raises(AngeliaError, match="sms sent nothing"):
        mix.compared({**sent, "sms": calm}, "fcm", WEATHER)


def test_ledger_and_phones_say_what_was_lost(lake: Lake) -> None:
    plan.write(lake, HOUR, {"fcm": 6}, {"fcm": 10}, {})
    names = sorted(lake.read(lake.require("dispatch_manifest", ds=DS))["dispatch_id"].to_pylist())
    outcomes = ["accepted", "accepted", "accepted", "ambiguous", "ambiguous"]
    rows = valid_rows("delivery_ledger", 5).to_pylist()
    ledger = [row | {"dispatch_id": names[n], "outcome": outcomes[n]} for n, row in enumerate(rows)]
    with lake.attempt("delivery_ledger", ds=DS, send_hour=HOUR, part="part-0") as attempt:
        schema = arrow.schema(dataset("delivery_ledger"))
        attempt.write(pa.Table.from_pylist(ledger, schema=schema), "part-0000.parquet")
        attempt.publish()
    # Accepted and received; twice; accepted and not received; ambiguous, either way; nothing known of it.
    received = {names[0]: 1, names[1]: 2, names[3]: 1}
    assert mix.accounted(lake, DS, received) == {
        "messages": 6, "accepted": 3, "ambiguous": 2, "lost": 2, "doubled": 1,
    }  # fmt: skip


@pytest.mark.parametrize("channel", ["fcm", "email"])
def test_a_storm_is_rules_that_the_sandbox_takes(channel: str, tmp_path: Path) -> None:
    mix.write_storm(path := tmp_path / "rules.yaml", channel, WEATHER)
    rules = Rules.load(path)._rules
    assert {(rule.match.after_s, rule.match.for_s) for rule in rules} == {(10, 10), (30, 10)}
    calm = 1.0
    for rule in rules[: len(rules) // 2]:
        assert rule.match.probability is not None
        calm *= 1 - rule.match.probability
    assert 0.2 < calm < 0.4


def test_each_channel_has_its_own_quota_and_sandbox(lake: Lake, tmp_path: Path) -> None:
    ours, others = ({"url": f"https://{name}", "smtp_url": f"smtps://{name}"} for name in ("a", "b"))
    for name, of in (("a", ours), ("b", others)):
        (tmp_path / name).mkdir()
        of["ca_file"] = str(tmp_path / name / "ca.pem")
        Path(of["ca_file"]).write_text(name)
        of |= {f"{channel}_credentials": f"{name}/{channel}" for channel in plan.CHANNELS}
        of["credentials"] = f"{name}/fcm"
        Path(of["ca_file"]).with_name("webpush-subscription.json").write_text('{"endpoint": "/NAME"}')
    sandboxes = {channel: ours if channel == "email" else others for channel in plan.CHANNELS}
    env = plan.environment(tmp_path, plan.CHANNELS, sandboxes)
    assert Path(env["ANGELIA_CA_FILE"]).read_text() == "ab"
    assert (env["ANGELIA_EMAIL_URL"], env["ANGELIA_SMS_URL"]) == ("smtps://a", "https://b")
    assert (env["ANGELIA_EMAIL_CREDENTIALS"], env["ANGELIA_FCM_CREDENTIALS"]) == ("a/email", "b/fcm")
    counts, rates = dict.fromkeys(plan.CHANNELS, 2), {**dict.fromkeys(plan.CHANNELS, 10), "sms": 50}
    assert plan.write(lake, HOUR, counts, rates, sandboxes) == DS
    rows = lake.read(lake.require("dispatch_manifest", ds=DS)).to_pylist()
    assert len({row["dispatch_id"] for row in rows}) == 12
    address = next(row["address"] for row in rows if row["channel"] == "webpush")
    assert address.startswith('{"endpoint": "/r')
    assert set(sample_plan.PROVIDERS) >= set(plan.CHANNELS)
    snapshot = lake.read(lake.require("catalog_snapshot", ds=DS)).to_pylist()
    quotas = {row["id"]: row["body"] for row in snapshot if row["kind"] == "channel"}
    assert '"quota_per_minute": 3000' in quotas["sms"]
    assert '"quota_per_minute": 600' in quotas["fcm"]
