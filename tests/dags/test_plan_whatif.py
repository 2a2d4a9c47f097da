"""What if: the form's night and settings reach the command, whatever is in them."""

import json

from tests.dags.given import commands


def asked_for(dags, **params):
    """Return the night and the settings that the command is given."""
    words = commands(dags["plan_whatif"], **params)["solve"]
    assert "--keep" in words, "or the console has nothing to show"
    return words[words.index("--ds") + 1], json.loads(words[words.index("--settings") + 1])


def test_an_empty_form_asks_about_the_newest_night(dags):
    assert asked_for(dags) == ("", {})


def test_settings_reach_the_command_as_they_are(dags):
    settings = {"caps.user_per_day": "1", "window.sale": "9-18", "quiet_hours": "none; \"'$(x)"}
    assert asked_for(dags, ds="2026-11-10", settings=settings) == ("2026-11-10", settings)


def test_solving_takes_its_turn_among_plans(dags):
    assert dags["plan_whatif"].get_task("solve").pool == "plan"
