"""Predicates of every kind the language has, drawn by Hypothesis, with worthwhile values.

Loaded by its path, after `audience_world`, whose window of days it draws from.
"""

from __future__ import annotations

from audience_world import DAY, HISTORY
from hypothesis import strategies as st

from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS

TEXTS = {
    "gender": ["f", "m", "x"],
    "province": ["guangdong", "guangxi", "fujian", "it's"],
    "device_vendor": ["huawei", "xiaomi"],
}
TYPES, ITEMS, CAMPAIGNS, TOPICS, CHANNELS = (
    ["open", "view", "purchase"],
    ["camera", "book", "games"],
    ["sale", "digest"],
    ["promo", "news"],
    ["fcm", "sms"],
)
AMOUNTS = [0.0, 0.01, 0.29, 2.01, 4.1, 9.75, 1001.1]
AUDIENCES = {
    "base": "gender = 'f' OR age_years > 40",
    "nested": "NOT in_audience('base') AND count_events('view', 3) >= 1",
    "deep": "in_audience('nested') OR NOT tag = 'a'",
}
OPS = st.sampled_from(["=", "<", "<=", ">", ">="])
DAYS = st.integers(1, HISTORY)
INTS = {
    "age_years": [-1, 0, 17, 18, 30.5, 64, 131],
    "days_since_signup": [-4, -3, 0, 1, 7.5, 400],
    "membership_level": [0, 1, 2, 3],
    "n_events_7d": [0, 1, 4, 5],
}
REALS = {"value_28d": [0.0, 0.1, -2.5, 9.75, 9.7, 1e9], "open_rate_28d": [0.05, 0.1, 1 / 3, 0.99]}


def whole_or_float(value: float) -> int | float:
    """Return what parsing gives: a whole number of an integer field is an int."""
    return int(value) if float(value).is_integer() else float(value)


def terms() -> st.SearchStrategy[tuple[nodes.Term, list[float]]]:
    """Return number terms with values worth comparing them to."""
    return st.one_of(
        st.sampled_from(sorted(INTS)).map(lambda name: (nodes.FieldTerm(name), INTS[name])),
        st.builds(
            lambda *a: (nodes.CountEvents(*a), [0, 1, 2, 3, 4.5, 9, 30]),
            st.sampled_from([*TYPES, "never"]),
            st.sampled_from([None, *ITEMS]),
            DAYS,
        ),
        st.sampled_from([*TYPES, "never"]).map(lambda name: (nodes.DaysSince(name), [0, 1, 2.5, 4, 6])),
    )


@st.composite
def leaves(draw: st.DrawFn) -> nodes.Node:
    """Draw one leaf of every kind the language has."""
    kind = draw(st.integers(0, 13))
    if kind <= 1:
        name = draw(st.sampled_from(sorted(TEXTS)))
        known = TEXTS[name] if FIELDS[name].allowed else [*TEXTS[name], "nobody"]
        values = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        return (
            nodes.Compare(nodes.FieldTerm(name), "=", values[0])
            if kind
            else nodes.OneOf(nodes.FieldTerm(name), tuple(values))
        )
    if kind == 2:
        return nodes.Prefix(
            nodes.FieldTerm(draw(st.sampled_from(["province", "tag"]))),
            draw(st.sampled_from(["g", "guang", "a", "ab", "zz"])),
        )
    if kind == 3:
        values = draw(st.lists(st.sampled_from(["a", "ab", "b", "c"]), min_size=1, max_size=2, unique=True))
        return (
            nodes.Compare(nodes.FieldTerm("tag"), "=", values[0])
            if len(values) == 1
            else nodes.OneOf(nodes.FieldTerm("tag"), tuple(values))
        )
    if kind in (4, 5, 6):
        term, values = draw(terms())
        return nodes.Compare(term, draw(OPS), whole_or_float(draw(st.sampled_from(values))))
    if kind == 7:
        term, values = draw(terms())
        chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
        return nodes.OneOf(term, tuple(whole_or_float(value) for value in chosen))
    if kind == 8:
        name = draw(st.sampled_from(sorted(REALS)))
        return nodes.Compare(nodes.FieldTerm(name), draw(OPS), float(draw(st.sampled_from(REALS[name]))))
    if kind == 9:
        return nodes.Compare(
            nodes.SumEvents(draw(st.sampled_from(TYPES)), draw(DAYS)),
            draw(OPS),
            round(sum(draw(st.lists(st.sampled_from(AMOUNTS), max_size=3))), 2),
        )
    if kind == 10:
        days = st.builds(nodes.DateValue, st.sampled_from([None, DAY]), st.integers(-9, 3))
        return nodes.Compare(nodes.FieldTerm("signup_date"), draw(OPS), draw(days))
    if kind == 11:
        fields = [*TEXTS, *INTS, "tag", "signup_date", "value_28d"]
        term = st.sampled_from(fields).map(nodes.FieldTerm) | st.sampled_from(TYPES).map(nodes.DaysSince)
        return nodes.IsNull(draw(term))
    if kind == 12:
        return nodes.Compare(nodes.FieldTerm("is_suppressed"), "=", draw(st.booleans()))
    return draw(
        st.one_of(
            st.sampled_from(TOPICS).map(nodes.OptedOut),
            st.sampled_from(CHANNELS).map(nodes.Reachable),
            st.builds(nodes.Received, st.sampled_from(CAMPAIGNS), DAYS),
            st.builds(nodes.Opened, st.sampled_from(CAMPAIGNS), DAYS),
            st.sampled_from(["vip", "none"]).map(nodes.InList),
            st.sampled_from(sorted(AUDIENCES)).map(lambda name: nodes.InAudience(name, nodes.Const(False))),
            st.booleans().map(nodes.Const),
        )
    )


PREDICATES = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        inner.map(nodes.Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: nodes.And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: nodes.Or(tuple(parts))),
    ),
    max_leaves=10,
)
