"""Effects over nights: the last four weeks unless the form says otherwise."""

import pytest

from tests.dags.rendering import commands


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [
        (None, None, ("2026-10-18", "2026-11-14")),
        (None, "2026-11-10", ("2026-10-14", "2026-11-10")),
        ("2026-11-01", None, ("2026-11-01", "2026-11-14")),
        ("2026-11-01", "2026-11-07", ("2026-11-01", "2026-11-07")),
    ],
)
def test_nights_that_are_not_named_make_28_to_the_last(dags, first, last, wanted):
    words = commands(dags["effects_over"], first=first, last=last)["over"]
    assert (words[words.index("--from") + 1], words[words.index("--to") + 1]) == wanted


def test_the_conversion_of_the_form_is_compared_and_kept(dags):
    words = commands(dags["effects_over"], conversion="signup")["over"]
    assert words[words.index("--conversion") + 1] == "signup"
    assert {"--keep", "--json"} <= set(words)
