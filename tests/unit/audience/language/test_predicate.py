"""What the language accepts, and the one line it answers otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.audience.language import nodes
from angelia.audience.language.predicate import check, parse
from angelia.errors import InvalidInput

AUDIENCES = {
    "a": "in_audience('b')",
    "b": "in_audience('a')",
    "fine": "gender = 'f'",
    "broken": "gendr = 'f'",
    "self": "NOT in_audience('self')",
}

REFUSED = [
    # text, what the message holds, what the fix holds
    ("", "column 1: empty", "TRUE"),
    ("   ", "empty", ""),
    ("gendr = 'f'", "column 1: unknown field 'gendr'", "did you mean gender?"),
    (
        "gender = 'f' AND gendr = 'f'",
        "column 18: unknown field 'gendr' [gender = 'f' AND ^gendr = 'f']",
        "did you mean gender?",
    ),
    ("gender = 'f' AND\n  gendr = 'x'", "line 2, column 3: unknown field", "gender"),
    ("gender = 3", "column 10: gender is a text", "quote"),
    ("gender = 'female'", "gender is never 'female'", "f, m, x"),
    ("age_years = 'x'", "column 13: age_years is a number", "without quotes"),
    ("age_years = TRUE", "age_years is a number", ""),
    ("is_suppressed = 'yes'", "is TRUE or FALSE", ""),
    ("is_suppressed > TRUE", "> makes no sense", ""),
    ("province < 'g'", "column 1: < makes no sense for province", "LIKE"),
    ("'g' <= province", ">= makes no sense for province", "LIKE"),
    ("province BETWEEN 'a' AND 'g'", "BETWEEN makes no sense for province", "LIKE"),
    ("age_years > 1e9999999", "out of range", "between"),
    (f"count_events('view', {'9' * 5000}) > 1", "days is between 1 and 28", ""),
    (
        "signup_date > CURRENT_DATE" + " - INTERVAL '100000' DAY" * 8,
        "the interval is out of range",
        "100,000 days",
    ),
    ("tag > 'x'", "> makes no sense for tag", "IN"),
    ("gender = NULL", "comparison with NULL is never true", "IS NULL"),
    ("gender IN ('f', NULL)", "comparison with NULL is never true", "IS NULL"),
    ("gender IN ()", "IN () is empty", "at least one"),
    ("gender IN (SELECT 1)", "column 12: SELECT is not allowed", "subquery"),
    ("EXISTS (SELECT 1)", "SELECT is not allowed", "subquery"),
    ("gender = 'f'; DROP TABLE x", "column 13: a semicolon is not allowed", ""),
    ("gender = 'f';", "a semicolon is not allowed", ""),
    ("DROP TABLE x", "DROP is not allowed", ""),
    ("GRANT ALL TO x", "GRANT is not allowed", ""),
    ("gender = 'f", "column 10: a quoted text does not end", "'"),
    ("gender =", "column 9: something is missing after '='", ""),
    ("(gender = 'f'", "expected ')'", ""),
    ("gender = 'f' OR OR tag = 'x'", "something is missing after 'OR'", ""),
    ("gender = 'f' tag = 'x'", "cannot make sense", ""),
    ("age_years > nan", "nan is not a number", ""),
    ("age_years > -nan", "nan is not a number", ""),
    ("age_years = 1e99", "out of range", ""),
    ("signup_date > '2026-13-01'", "column 15: '2026-13-01' is not a day", "DATE"),
    ("signup_date > DATE '1026-11-01'", "out of range", ""),
    ("signup_date > 7", "a day is needed", "CURRENT_DATE"),
    ("signup_date > CURRENT_DATE - INTERVAL '2' MONTH", "days or weeks", ""),
    ("days_since_signup = INTERVAL '2' YEAR", "days or weeks", ""),
    ("age_years = INTERVAL '2' DAY", "not a time span", ""),
    ("gender = province", "a field is compared with a field", ""),
    ('gender = "f"', "a field is compared with a field", "'f'"),
    ("t.gender = 'f'", "unknown field 't.gender'", "no table name"),
    ("1 = 1", "a value alone is not a condition", ""),
    ("gender", "gender alone is not a condition", "compare"),
    ("gender LIKE '%x'", "LIKE knows only 'prefix%'", ""),
    ("gender LIKE 'f_%'", "LIKE knows only 'prefix%'", ""),
    ("age_years LIKE '1%'", "LIKE needs a text field", ""),
    ("UPPER(gender) = 'F'", "unknown function 'upper'", "known:"),
    ("count_event('view', 3) > 1", "unknown function 'count_event'", "count_events"),
    ("count_events('view', 3)", "alone is not a condition", "number"),
    ("count_events('view') > 1", "takes 2 to 3 arguments, got 1", "count_events("),
    ("count_events('view', 0) > 1", "days is between 1 and 28", ""),
    ("count_events('view', 29) > 1", "days is between 1 and 28", ""),
    ("count_events('View', 3) > 1", "'View' is not a name", ""),
    ("count_events(view, 3) > 1", "event type is a quoted name", ""),
    ("sum_events('purchase', field='price', 3) > 1", "only field of an event", ""),
    ("opted_out('promo') > 3", "is a condition, not a value", "NOT"),
    ("opted_out", "opted_out needs arguments", "opted_out('topic')"),
    ("reachable('fmc')", "no channel 'fmc'", "fcm"),
    ("channels = 'fcm'", "'channels' is not a field", "reachable('fcm')"),
    ("user_id = 'u1'", "not selected by user_id", "in_list"),
    ("in_audience('nobody')", "no audience 'nobody'", "known: a, b"),
    ("in_audience('a')", "cycle: a -> b -> a", "break"),
    ("in_audience('self')", "cycle: self -> self", "break"),
    ("in_audience('broken')", "audience 'broken': predicate at column 1: unknown field 'gendr'", "gender"),
    ("CASE WHEN gender = 'f' THEN TRUE END", "unknown function 'case'", ""),
    ("CAST(age_years AS TEXT) = 'x'", "unknown function 'cast'", ""),
    ("gender = 'f' AS x", "", ""),
    ("gender = 'f\x00'", "a control character", ""),
    ("age_years = ?", "", ""),
    ("age_years = :x", "", ""),
    ("NOT", "something is missing after 'NOT'", ""),
    ("(" * 100 + "TRUE" + ")" * 100, "nested too deeply", "64"),
    ("NOT " * 5000 + "TRUE", "nested too deeply", "64"),
    ("case " * 3000, "nested too deeply", "64"),
    (" OR ".join(["age_years = 1"] * 1001), "more than 1000 conditions", "IN"),
    (" OR ".join(["age_years = 1"] * 10_000), "longer than", "in_list"),
    (f"age_years IN ({', '.join(map(str, range(1001)))})", "more than 1000 values", "in_list"),
]


@pytest.mark.parametrize(
    ("text", "problem", "fix"), REFUSED, ids=[text[:40] or "empty" for text, _, _ in REFUSED]
)
def test_refusals_are_one_line_and_say_where(text: str, problem: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text, AUDIENCES, history_days=28)
    line = caught.value.one_line()
    assert problem in caught.value.message
    assert fix in (caught.value.fix or "")
    assert "\n" not in line
    assert "^" in line
    assert len(line) < 1000


@pytest.mark.parametrize("channel", ["wecom", "huawei", "email_two", "fcm2"])
def test_any_channel_of_a_catalog_can_be_reachable(channel: str) -> None:
    assert parse(f"reachable('{channel}')") == nodes.Reachable(channel)


def test_check_accepts_what_parse_accepts_and_names_cycles() -> None:
    check("in_audience('fine') AND age_years > 3", audiences=AUDIENCES)
    with pytest.raises(InvalidInput, match="a -> b -> a"):
        check("in_audience('a')", audiences=AUDIENCES)


def test_a_saved_audience_built_on_by_many_is_resolved_once() -> None:
    # 60 levels, each naming the one below twice: inlining would make 2^60 leaves.
    ladder = {"l0": "gender = 'f'"} | {
        f"l{i}": f"in_audience('l{i - 1}') OR NOT in_audience('l{i - 1}')" for i in range(1, 60)
    }
    node = parse("in_audience('l59')", ladder)
    assert isinstance(node, nodes.InAudience)
    assert hash(node) == hash(parse("in_audience('l59')", ladder))


ACCEPTED = [
    ("gender = 'f'", "gender = 'f'"),
    ("GENDER <> 'f'", "NOT gender = 'f'"),
    ("gender != 'f'", "NOT gender = 'f'"),
    ("NOT NOT gender = 'f'", "gender = 'f'"),
    ("'f' = gender", "gender = 'f'"),
    ("30 < age_years", "age_years > 30"),
    ("age_years BETWEEN 1 AND 2 AND gender = 'f'", "age_years >= 1 AND age_years <= 2 AND gender = 'f'"),
    ("gender = 'f' AND (province = 'x' AND tag = 'y')", "gender = 'f' AND province = 'x' AND tag = 'y'"),
    ("gender = 'f' OR province = 'x' AND tag = 'y'", "gender = 'f' OR (province = 'x' AND tag = 'y')"),
    ("gender IN ('f', 'm', 'f')", "gender IN ('f', 'm')"),
    ("is_suppressed", "is_suppressed = TRUE"),
    ("is_suppressed IS NOT FALSE", "NOT is_suppressed = FALSE"),
    ("opted_out('promo') = FALSE", "NOT opted_out('promo')"),
    ("count_events('view', 7) > 1", "count_events('view', NULL, 7) > 1"),
    ("count_events('view', NULL, 7) > 1", "count_events('view', NULL, 7) > 1"),
    ("sum_events('buy', field='value', 7) >= 5", "sum_events('buy', field='value', 7) >= 5.0"),
    ("sum_events('buy', 'value', 7) >= 5", "sum_events('buy', field='value', 7) >= 5.0"),
    ("days_since('open') <= INTERVAL '2' WEEK", "days_since('open') <= 14"),
    ("count_events('open', INTERVAL '1 week') > 0", "count_events('open', NULL, 7) > 0"),
    ("signup_date >= CURRENT_DATE - INTERVAL '30 days'", "signup_date >= CURRENT_DATE - INTERVAL '30' DAY"),
    ("signup_date >= '2026-11-01'", "signup_date >= DATE '2026-11-01'"),
    ("province LIKE 'it''s%' -- why", "province LIKE 'it''s%'"),
    ("age_years = -1", "age_years = -1"),
]


@pytest.mark.parametrize(("text", "canonical"), ACCEPTED)
def test_canonical_text_parses_to_the_same_tree(text: str, canonical: str) -> None:
    node = parse(text)
    assert nodes.sql(node) == canonical
    assert parse(canonical) == node


WORDS = [
    *(
        "gender",
        "age_years",
        "signup_date",
        "tag",
        "is_suppressed",
        "province",
        "value_28d",
        "user_id",
        "nan",
        "NULL",
        "TRUE",
        "CURRENT_DATE",
    ),
    *(
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "LIKE",
        "BETWEEN",
        "(",
        ")",
        ",",
        "=",
        "<>",
        "<",
        ">=",
        "-",
        "+",
        "*",
        ";",
        ".",
        "[",
        "]",
        "{",
        "}",
        "--",
        "/*",
    ),
    *(
        "'f'",
        "'guang%'",
        "''",
        "'",
        '"',
        "1",
        "1e999",
        "9" * 30,
        "0x1",
        "2.5",
        "DATE",
        "INTERVAL",
        "'30'",
        "DAY",
        "DATE '2026-11-14'",
        "CAST",
        "AS",
    ),
    *(
        f"{name}("
        for name in (
            "count_events",
            "sum_events",
            "days_since",
            "opted_out",
            "received",
            "in_audience",
            "in_list",
            "sum",
            "exists",
        )
    ),
    *("SELECT", "CASE", "WHEN", "::", "||", "?", "@", "$1", "\\", "\x00", "é", "\ud7ff"),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_predicate_or_refused_in_one_line(text: str) -> None:
    node, refused = None, ""
    try:
        node = parse(text, AUDIENCES, history_days=28)
    except InvalidInput as error:
        refused = error.one_line()
    assert "\n" not in refused
    assert node is None or parse(nodes.sql(node), AUDIENCES, history_days=28) == node
