"""The hour's parts, each a command in the pool of its channel."""


def test_each_due_part_is_one_command_of_its_channel(dags):
    from angelia.contracts.sources import CHANNELS, OTHER

    dag = dags["hourly_dispatch"]
    part = {"ds": "2026-11-14", "send_hour": "2026-11-15T04", "priority": "high", "kind": "plan", "rows": 3}
    due = {
        "parts": [
            {**part, "channel": "fcm", "part": 0},
            {**part, "channel": "fcm", "part": 0, "kind": "deferred"},
            {**part, "channel": "sms", "part": 1},
            {**part, "channel": "wecom", "part": 2},
            {**part, "channel": "email_two", "part": 0},
        ]
    }
    wanted = {"fcm": ["fcm 0"], "sms": ["sms 1"], OTHER: ["wecom 2", "email_two 0"]}
    for channel in (*CHANNELS, OTHER):
        words = dag.get_task(f"list_parts_{channel}").python_callable(due, channel, {"clock": "wall"})
        pairs = [f"{one[one.index('--channel') + 1]} {one[one.index('--part') + 1]}" for one in words]
        assert pairs == wanted.get(channel, [])
        for pair in words:
            assert pair[pair.index("--slots") + 1] == "2"
            assert "--wait-for-lease" in pair  # else the retry of a killed task ends at once
        assert dag.get_task(f"fan_out_{channel}").pool == f"deliver_{channel}"


def test_channels_of_one_pool_take_turns(dags):
    from angelia.contracts.sources import OTHER

    dag = dags["hourly_dispatch"]
    channels = ["huawei", "huawei", "huawei", "wecom", "oppo", "oppo"]
    due = {
        "parts": [
            {"ds": "2026-11-14", "send_hour": "2026-11-15T04", "part": number, "channel": channel}
            for number, channel in enumerate(channels)
        ]
    }
    words = dag.get_task(f"list_parts_{OTHER}").python_callable(due, OTHER, {})
    order = [each[each.index("--part") + 1] for each in words]
    assert order == ["0", "3", "4", "1", "5", "2"], "a channel's own parts stay in their order"
