"""Effects of many nights: twenty-eight of them, unless the form names others."""

from tests.dags.given import commands


def span(dags, **params):
    """Return the first and the last night that the command is asked about."""
    words = commands(dags["effects_over"], **params)["over"]
    return words[words.index("--from") + 1], words[words.index("--to") + 1]


def test_a_scheduled_run_reads_four_weeks_to_its_own_day(dags):
    assert span(dags) == ("2026-10-18", "2026-11-14")


def test_a_form_names_either_end_or_both(dags):
    assert span(dags, last="2026-11-10") == ("2026-10-14", "2026-11-10")
    assert span(dags, first="2026-11-01") == ("2026-11-01", "2026-11-14")
    assert span(dags, first="2026-11-01", last="2026-11-10") == ("2026-11-01", "2026-11-10")


def test_figures_are_kept_for_the_console(dags):
    words = commands(dags["effects_over"], conversion="signup")["over"]
    assert "--keep" in words
    assert words[words.index("--conversion") + 1] == "signup"
