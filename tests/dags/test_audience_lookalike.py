"""People like an audience: the form reaches the command, and none of it is an option."""

from tests.dags.given import commands


def test_the_form_is_what_the_command_is_given(dags):
    words = commands(dags["audience_lookalike"], name="like_regulars", seed="regulars", size=500)["find"]
    assert "--seed=regulars" in words
    assert words[words.index("--size") + 1] == "500"
    assert words[-2:] == ["--", "like_regulars"]


def test_a_name_that_looks_like_an_option_stays_a_name(dags):
    words = commands(dags["audience_lookalike"], name="--force", seed="--size 1")["find"]
    assert words[-2:] == ["--", "--force"]
    assert "--seed=--size 1" in words


def test_a_form_that_names_nothing_is_the_commands_to_refuse(dags):
    words = commands(dags["audience_lookalike"])["find"]
    assert (words[-1], "--seed=" in words) == ("", True)
    assert dags["audience_lookalike"].get_task("find").pool == "spark"
