import asyncio
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.users.choices import choose
from angelia.users.registered import register
from angelia.users.suppressions import Guards
from spark_jobs import build_features, build_send_times

DS = "2026-11-14"


def test_features_and_curves_of_a_small_night(spark, small_night) -> None:
    lake = small_night
    at = datetime(2026, 11, 10, tzinfo=UTC)
    for hours, own in enumerate(({("language", "de"): True}, {("language", "zh-CN"): True})):
        choose(lake, "u00015", own | {("quiet_hours", "21-9"): True}, at + timedelta(hours=hours))
    choose(lake, "u00016", {("language", "de"): True, ("quiet_hours", "1-2"): True}, at)
    choose(
        lake, "u00016", {("language", "de"): False, ("quiet_hours", "1-2"): False}, at + timedelta(hours=1)
    )
    # One phone denies the app's notifications, another allows them, of the third nothing is known.
    says = {"u00018": "denied", "u00019": "allowed", "u00020": None}
    known = {"channel": "push_two", "registered_ts": at, "is_active": True, "app_version": "2.1"}
    register(lake, [known | {"user_id": u, "address": f"of-{u}", "permission": p} for u, p in says.items()])
    build_features.main(["--ds", DS])
    commit = lake.require("user_features", ds=DS)
    rows = lake.read(commit).to_pylist()
    assert [row["ordinal"] for row in rows] == list(range(600))
    assert [entry.shards for entry in commit.files] == [(0, 0), (1, 1), (2, 2)]
    by = {row["ordinal"]: row for row in rows}

    # Bad values are null and counted; everybody stays.
    assert (
        by[1]["gender"],
        by[1]["age_years"],
        by[1]["country"],
        by[1]["timezone"],
        by[1]["is_timezone_unknown"],
    ) == (None, None, None, "UTC", True)
    assert (
        by[0]["gender"],
        by[0]["age_years"],
        by[0]["is_timezone_unknown"],
        by[0]["days_since_signup"],
    ) == ("m", 36, False, 317)
    assert (by[2]["timezone"], by[2]["days_since_signup"]) == ("UTC", None)
    assert by[3]["gender"] == "x"  # of duplicates the latest signup
    assert (by[599]["user_id"], by[599]["gender"], by[599]["tags"]) == ("u00599", None, None)  # no profile
    assert commit.rejects == {
        "gender": 1, "birth_year": 1,
        "country": 1, "timezone_unknown": 1, "timezone_null": 2, "signup_ts": 1, "duplicate_profile": 1,
        "no_profile": 1, "permission_denied": 1,
    }  # fmt: skip
    assert ["push_two" in by[i]["channels"] for i in (18, 19, 20)] == [False, True, True]

    # What a person chose stands before the profile's, and may be taken back.
    assert (by[15]["locale"], by[15]["quiet_start"], by[15]["quiet_end"]) == ("zh-CN", 21, 9)
    assert (by[16]["locale"], by[16]["quiet_start"]) == (by[17]["locale"], None)

    # Contact.
    assert by[0]["channels"] == ["fcm", "sms"]
    assert by[7]["channels"] == ["fcm"]
    assert (by[8]["channels"], by[8]["opted_out_topics"]) == (["fcm"], ["promo"])
    assert by[9]["opted_out_topics"] == []
    assert by[10]["opted_out_topics"] == ["promo"]
    assert [by[i]["is_suppressed"] for i in (11, 12, 13, 14)] == [True, False, False, False]
    assert by[12]["channels"] == ["sms"]

    # History.
    assert (by[6]["n_purchases_28d"], by[6]["value_28d"], by[6]["days_since_purchase"]) == (3, 30.0, 7)
    assert by[5]["n_events_28d"] == by[5]["n_pushes_28d"] == 0
    assert by[5]["days_since_event"] is None
    assert by[0]["n_pushes_28d"] == 28
    assert by[0]["n_pushes_7d"] == 7
    assert by[0]["days_since_push"] == 0
    assert by[5]["open_rate_28d"] == pytest.approx(commit.meta["open_rate"])
    assert by[0]["open_rate_28d"] == pytest.approx(
        (by[0]["n_opens_28d"] + 20 * commit.meta["open_rate"]) / 48
    )

    # A rerun writes the same bytes.
    build_features.main(["--ds", DS])
    assert [entry.sha256 for entry in lake.require("user_features", ds=DS).files] == [
        entry.sha256 for entry in commit.files
    ]

    # As of a week ago: the same people, but the history and the refusals of then.
    build_features.main(["--ds", "2026-11-07"])
    earlier = {
        row["ordinal"]: row for row in lake.read(lake.require("user_features", ds="2026-11-07")).to_pylist()
    }
    assert earlier[0]["n_pushes_28d"] == 21
    assert earlier[6]["days_since_purchase"] == 0
    assert earlier[10]["opted_out_topics"] == []

    build_send_times.main(["--ds", DS])
    commit = lake.require("send_times", ds=DS)
    curves = {row["ordinal"]: row for row in lake.read(commit).to_pylist()}
    assert len(curves) == 600
    assert all(len(row["workday"]) == len(row["day_off"]) == 24 for row in curves.values())
    early, late = (
        sum(curves[i]["workday"][8] - curves[i]["workday"][20] for i in range(k, 599, 2)) for k in (0, 7)
    )
    assert early > 100
    assert late < -100
    assert (curves[5]["cluster"], curves[5]["evidence"]) == (None, 0.0)
    assert curves[6]["evidence"] > 5
    assert commit.meta["chosen_by"] in ("responses", "activity", "nothing")


def test_without_sources_the_job_says_who_writes_them(lake, settings_home, capsys) -> None:
    from spark_jobs.running.session import run_job

    assert run_job(build_features.main, ["--ds", DS]) == 2
    assert "index_users" in capsys.readouterr().err


def test_who_opts_in_again_is_reachable_from_the_next_night_on(spark, small_night) -> None:
    def rows(name: str, *entries: dict) -> pa.Table:
        return pa.Table.from_pylist(list(entries), schema=arrow.schema(dataset(name)))

    def user(i: int) -> str:
        return f"u{i:05d}"

    lake, out = small_night, datetime(2026, 11, 1, tzinfo=UTC)
    back = out + timedelta(days=3)
    reasons = {
        20: "unsubscribed",
        21: "complaint",
        22: "unsubscribed",
        23: "unsubscribed",
        24: "unsubscribed",
    }
    entries = [
        {"entry_id": f"r{i}", "user_id": user(i), "channel": "sms", "since_ts": out, "reason": reason}
        for i, reason in reasons.items()
    ]
    lake.append_log("suppressions", rows("suppressions", *entries))
    yes = {"kind": "channel", "name": "sms", "is_opted_in": True, "updated_ts": back}
    words = rows(
        "user_preferences",
        *({"user_id": user(i), **yes} for i in (20, 21)),
        {"user_id": user(22), **yes, "updated_ts": out - timedelta(days=3)},
        {"user_id": user(23), **yes}, {"user_id": user(23), **yes, "is_opted_in": False},
        {"user_id": user(24), **yes, "name": "pager"},
        {"user_id": user(27), **yes, "kind": "topic", "name": "promo"},  # at the instant of a no
    )  # fmt: skip
    with lake.attempt("user_preferences", ds=DS) as attempt:
        attempt.write(words, "part-0000.parquet", conform=False)
        attempt.publish()
    # What was chosen on the preferences page counts beside what was imported.
    no = {"kind": "channel", "name": "sms", "is_opted_in": False, "updated_ts": back}
    chosen = ({"user_id": user(25), **no}, {"user_id": user(27), **no, "kind": "topic", "name": "promo"})
    lake.append_log("preference_choices", rows("preference_choices", *chosen))
    build_features.main(["--ds", DS])
    commit = lake.require("user_features", ds=DS)
    topics = {row["ordinal"]: row["opted_out_topics"] for row in lake.read(commit).to_pylist()}
    assert (topics[25], topics[26], topics[27]) == ([], [], ["promo"])
    by = {row["ordinal"]: row["channels"] for row in lake.read(commit).to_pylist()}
    assert [by[i] for i in range(20, 25)] == [["fcm", "sms"], ["fcm"], ["fcm"], ["fcm"], ["fcm"]]
    assert (by[25], by[26]) == (["fcm"], ["fcm", "sms"])
    log = Lake(lake.store).read_log("suppressions").to_pylist()
    noted = [entry for entry in log if entry["reason"] == "opted_in"]
    assert [(entry["user_id"], entry["channel"], entry["since_ts"]) for entry in noted] == [
        (user(20), "sms", back)
    ]
    guards = Guards(lake, DS, lambda: 0)
    assert asyncio.run(guards.refresh())
    people = [user(i) for i in range(20, 25)]
    wanted = [None, "suppressed", "suppressed", "suppressed", "suppressed"]
    assert guards.blocked(["c"] * 5, people, "sms", ["a"] * 5) == wanted

    build_features.main(["--ds", DS])  # noted once; the same bytes
    assert len(Lake(lake.store).read_log("suppressions")) == len(log)
    again = lake.require("user_features", ds=DS)
    assert [entry.sha256 for entry in again.files] == [entry.sha256 for entry in commit.files]
    build_features.main(["--ds", "2026-11-02"])  # as of the day before she came back
    earlier = lake.read(lake.require("user_features", ds="2026-11-02")).to_pylist()
    assert earlier[20]["channels"] == ["fcm"]
