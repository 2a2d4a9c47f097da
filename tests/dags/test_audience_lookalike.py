"""A list of similar people: what was typed reaches the command as one word each."""

from tests.dags.rendering import commands


def test_name_and_seed_are_never_read_as_options(dags):
    dag = dags["audience_lookalike"]
    words = commands(dag, name="--seed=x", seed="--size 1", size=7)["find"][1:]
    assert words[:3] == ["angelia", "audience", "lookalike"]
    assert words[3] == "--seed=--size 1"
    assert words[words.index("--size") + 1] == "7"
    assert words[-2:] == ["--", "--seed=x"]


def test_an_empty_form_leaves_words_for_the_command_to_refuse(dags):
    words = commands(dags["audience_lookalike"], name=None, seed=None)["find"]
    assert ("--seed=" in words, words[-1]) == (True, "")


def test_it_takes_a_place_of_the_pool_that_bounds_spark(dags):
    assert dags["audience_lookalike"].get_task("find").pool == "spark"
