"""A plan under other settings: they reach the command as JSON, whatever was typed."""

import json

from tests.dags.rendering import commands


def test_settings_reach_the_command_as_json(dags):
    settings = {"caps.user_per_day": "1", "odd": "'; {{ ds }} \"<é>"}
    words = commands(dags["plan_whatif"], ds="2026-11-10", settings=settings)["solve"]
    assert json.loads(words[words.index("--settings") + 1]) == settings
    assert words[words.index("--ds") + 1] == "2026-11-10"


def test_an_empty_form_asks_of_the_newest_plan(dags):
    words = commands(dags["plan_whatif"], ds=None)["solve"]
    assert words[words.index("--ds") + 1] == ""
    assert json.loads(words[words.index("--settings") + 1]) == {}
    assert dags["plan_whatif"].get_task("solve").pool == "plan"
