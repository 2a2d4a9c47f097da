"""The hour's parts are sent by a command each, or by one for each channel and plan."""

from itertools import pairwise


def _after(words, flag):
    return [word for before, word in pairwise(words) if before == flag]


def _due(*pairs, ds="2026-11-14", hour="2026-11-15T04"):
    return [
        {"ds": ds, "send_hour": hour, "part": number, "channel": channel, "priority": "high", "kind": "plan"}
        for channel, number in pairs
    ]


def _listed(dags, channel, parts):
    list_parts = dags["hourly_dispatch"].get_task(f"list_parts_{channel}").python_callable
    return list_parts({"parts": parts}, channel, {})


def test_each_due_part_is_one_command_of_its_channel(dags):
    from angelia.contracts.sources import CHANNELS, OTHER

    due = _due(("fcm", 0), ("fcm", 1), ("sms", 1), ("wecom", 2), ("email_two", 0))
    due += [{**due[0], "kind": "deferred"}]
    wanted = {"fcm": ["0", "1"], "sms": ["1"]}
    for channel in CHANNELS:
        commands = _listed(dags, channel, due)
        assert [_after(words, "--part") for words in commands] == [[part] for part in wanted.get(channel, [])]
        for words in commands:
            assert _after(words, "--channel") == [channel]
            assert _after(words, "--slots") == ["2"]
            assert "--wait-for-lease" in words  # else the retry of a killed task ends at once
    for channel in (*CHANNELS, OTHER):
        assert dags["hourly_dispatch"].get_task(f"fan_out_{channel}").pool == f"deliver_{channel}"


def test_other_channels_have_a_command_for_each_plan(dags):
    from angelia.contracts.sources import OTHER

    due = _due(("huawei", 0), ("huawei", 1), ("wecom", 2), hour="2026-11-15T03")
    due += _due(("huawei", 0), ("wecom", 0), hour="2026-11-15T04")
    due += _due(("huawei", 5), ds="2026-11-15", hour="2026-11-16T04")
    commands = [
        tuple(_after(words, flag) for flag in ("--channel", "--ds", "--send-hour", "--slots", "--part"))
        for words in _listed(dags, OTHER, due)
    ]
    hours = ["2026-11-15T03", "2026-11-15T04"]
    assert commands == [
        (["huawei"], ["2026-11-14"], hours, ["2"], []),
        (["wecom"], ["2026-11-14"], hours, ["1"], []),
        (["huawei"], ["2026-11-15"], ["2026-11-16T04"], ["2"], []),
    ], "a channel's workers share its quota; one that has a worker alone has it whole"


def test_a_storming_channel_never_fills_the_shared_pool(dags):
    from angelia.contracts.sending import PLAN_LIFE_DAYS
    from angelia.contracts.sources import OTHER
    from angelia.delivery.pools import airflow_pools

    # The worst there can be: 50 parts in each of 26 hours, in every plan that is still looked at.
    storm = [
        part
        for day in range(PLAN_LIFE_DAYS)
        for hour in range(26)
        for part in _due(*(("huawei", n) for n in range(50)), ds=f"2026-11-1{day}", hour=f"{day} {hour}")
    ]
    commands = _listed(dags, OTHER, storm + _due(("wecom", 0)))
    held = [_after(words, "--channel") for words in commands].count(["huawei"])
    assert held == PLAN_LIFE_DAYS
    for slots in (1, 2, 64):
        assert airflow_pools(slots)[f"deliver_{OTHER}"]["slots"] > held, "no other channel could go"
