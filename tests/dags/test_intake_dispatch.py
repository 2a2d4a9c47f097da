"""The intake's dispatch: once a minute, with its share of what the pools' workers may send."""

from angelia.contracts.sources import CHANNELS
from tests.dags.rendering import commands


def test_one_run_at_a_time_and_none_is_made_up_for(dags):
    dag = dags["intake_dispatch"]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dag.timetable.expression == "* * * * *"


def test_the_quota_is_shared_with_every_worker_of_a_pool(dags):
    words = commands(dags["intake_dispatch"])["dispatch_intake"]
    fan_out = dags["hourly_dispatch"].get_task(f"list_parts_{CHANNELS[0]}").python_callable
    part = {"ds": "2026-11-14", "send_hour": "2026-11-15T04", "part": 0, "channel": CHANNELS[0]}
    ((*pool,),) = fan_out({"parts": [part]}, CHANNELS[0], {"clock": "wall"})
    slots = [int(each[each.index("--slots") + 1]) for each in (words, pool)]
    assert slots[0] == slots[1] + 1, "the intake is one sender more than the pool's workers"
    assert "--once" in words
