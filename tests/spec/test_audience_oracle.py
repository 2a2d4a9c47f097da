"""Bitmaps, DuckDB over the tables and plain Python answer alike, NULLs included."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.never import never_true
from angelia.audience.language.predicate import parse
from angelia.audience.one_person import FAILED, HELD, UNKNOWN, Clause, PersonBlock, explain
from angelia.audience.query import AudienceQuery
from angelia.lake import Lake


def _load(name: str):  # type: ignore[no-untyped-def]
    # importlib mode has no test packages: the shared module is loaded by its path.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


w = _load("audience_world")
p = _load("audience_predicates")


class Three:
    """A world and its three engines."""

    def __init__(self, folder: Path, world: object, shard_bits: int = 4, block_bits: int = 6) -> None:
        lake = Lake.open(str(folder / "lake"))
        w.write_index(lake, world, shard_bits, block_bits)
        self.world = world
        self.bitmaps = AudienceQuery(lake, w.DS, world.audiences)  # type: ignore[attr-defined]
        self.sql, self.naive = w.Sql(world), w.Naive(world)

    def ask(self, text: str) -> tuple[set[int], set[int], set[int], int]:
        """Return the members by bitmaps, SQL and plain Python, and the bitmaps' count."""
        node = parse(text, self.world.audiences, history_days=w.HISTORY)  # type: ignore[attr-defined]
        members = {ordinal for part in self.bitmaps.all_members(text) for ordinal in part}
        return members, self.sql.members(node), self.naive.members(node), self.bitmaps.count(text)


# ---- hand-written cases

PEOPLE = [
    w.person(
        0,
        gender="f",
        age_years=30,
        province="guangdong",
        tags=["sport", "spa"],
        days_since_signup=10,
        channels=["fcm"],
        value_28d=9.5,
    ),
    w.person(
        1,
        gender="m",
        age_years=None,
        province="fujian",
        tags=[],
        days_since_signup=0,
        channels=["sms"],
        opted_out_topics=["promo"],
    ),
    w.person(
        2,
        gender=None,
        age_years=18,
        province=None,
        tags=None,
        channels=["fcm", "sms"],
        is_suppressed=True,
        value_28d=-1.0,
    ),
    w.person(
        17,
        gender="f",
        age_years=64,
        province="guangxi",
        tags=["spam"],
        days_since_signup=40,
        is_timezone_unknown=True,
        value_28d=0.1,
    ),
    w.person(40, gender="x", age_years=30, province="Guangdong", tags=["o'clock"], days_since_signup=-1),
]
EVENTS = [
    w.did(0, 0, "open"), w.did(0, 1, "view", "camera", 2), w.did(0, 3, "view", "book", 1),
    w.did(0, 5, "purchase", "book", 1, 20.25),
    w.did(1, 2, "open", None, 3), w.did(1, 2, "view", "camera", 1), w.did(17, 5, "open"),
    w.did(17, 0, "purchase", "camera", 2, 2.01),
    w.did(17, 4, "purchase", "camera", 1, 4.25), w.did(99, 0, "open"),
]  # fmt: skip
PUSHES = [
    w.pushed(0, 0, "sale"),
    w.pushed(0, 0, "sale", "opened"),
    w.pushed(1, 3, "sale"),
    w.pushed(17, 1, "digest"),
    w.pushed(17, 0, "digest", "opened"),
]
HAND = w.World(
    PEOPLE, EVENTS, PUSHES, lists={"vip": {0, 40, 99}, "none": set()},
    audiences={"women": "gender = 'f'", "not_women": "NOT in_audience('women')",
    "unsure": "NOT gender = 'f'"},
)  # fmt: skip

CASES: list[tuple[str, set[int]]] = [
    ("TRUE", {0, 1, 2, 17, 40}),
    ("FALSE", set()),
    ("gender = 'f'", {0, 17}),
    ("gender <> 'f'", {1, 40}),
    ("NOT gender = 'f'", {1, 40}),
    ("gender IS NULL", {2}),
    ("gender IS NOT NULL", {0, 1, 17, 40}),
    ("gender = 'f' OR NOT gender = 'f'", {0, 1, 17, 40}),
    ("gender NOT IN ('f', 'm')", {40}),
    ("province IN ('guangdong', 'fujian')", {0, 1}),
    ("province LIKE 'guang%'", {0, 17}),
    ("province NOT LIKE 'guang%'", {1, 40}),
    ("age_years >= 30", {0, 17, 40}),
    ("age_years < 30", {2}),
    ("NOT age_years >= 30", {2}),
    ("age_years BETWEEN 18 AND 30", {0, 2, 40}),
    ("age_years NOT BETWEEN 18 AND 30", {17}),
    ("age_years > 29.5 AND age_years < 30.5", {0, 40}),
    ("age_years = 30.5", set()),
    ("age_years <> 30.5", {0, 2, 17, 40}),
    ("30 <= age_years", {0, 17, 40}),
    ("age_years > -5", {0, 2, 17, 40}),
    ("age_years < 1000000", {0, 2, 17, 40}),
    ("days_since_signup < 0", {40}),
    ("value_28d > 0.1", {0}),
    ("value_28d = 0.1", {17}),
    ("value_28d < 0", {2}),
    ("value_28d >= 0 AND value_28d <= 0", {1, 40}),
    ("signup_date >= CURRENT_DATE - INTERVAL '10' DAY", {0, 1, 40}),
    ("signup_date = DATE '2026-11-14'", {1}),
    ("signup_date < '2026-11-05'", {0, 17}),
    ("NOT signup_date < '2026-11-05'", {1, 40}),
    ("tag = 'spa'", {0}),
    ("tag LIKE 'spa%'", {0, 17}),
    ("tag IN ('spa', 'spam')", {0, 17}),
    ("NOT tag = 'spa'", {1, 17, 40}),
    ("tag = 'o''clock'", {40}),
    ("tag IS NULL", {2}),
    ("is_suppressed", {2}),
    ("NOT is_suppressed AND is_timezone_unknown", {17}),
    ("is_suppressed IS NOT TRUE", {0, 1, 17, 40}),
    ("reachable('fcm')", {0}),
    ("NOT reachable('sms')", {0, 2, 17, 40}),
    ("opted_out('promo')", {1}),
    ("count_events('view', 6) >= 1", {0, 1}),
    ("count_events('view', 6) >= 3", {0}),
    ("count_events('view', 2) = 2", {0}),
    ("count_events('view', 'camera', 6) = 1", {1}),
    ("count_events('view', 'camera', 6) < 2", {1, 2, 17, 40}),
    ("count_events('view', 'book', 6) >= 1", {0}),
    ("count_events('view', 'book', 3) = 0", {0, 1, 2, 17, 40}),
    ("count_events('never', 6) = 0", {0, 1, 2, 17, 40}),
    ("count_events('open', 3) BETWEEN 2 AND 3", {1}),
    ("count_events('open', 6) > -1", {0, 1, 2, 17, 40}),
    ("count_events('open', 6) < 0.5", {2, 40}),
    ("sum_events('purchase', field='value', 6) >= 6.26", {0, 17}),
    ("sum_events('purchase', 6) > 6.26", {0}),
    ("sum_events('purchase', 1) = 2.01", {17}),
    ("sum_events('purchase', 1) < 2.01", {0, 1, 2, 40}),
    ("sum_events('purchase', 1) BETWEEN 2.0099999 AND 2.0100001", {17}),
    ("sum_events('purchase', 1) = 2.0100001", set()),
    ("sum_events('purchase', 4) > 0", {17}),
    ("sum_events('purchase', 6) = 0", {1, 2, 40}),
    ("days_since('open') = 0", {0}),
    ("days_since('open') >= 2", {1, 17}),
    ("NOT days_since('open') < 2", {1, 17}),
    ("days_since('open') IS NULL", {2, 40}),
    ("days_since('open') IN (0, 5)", {0, 17}),
    ("days_since('open') <= INTERVAL '2' DAY", {0, 1}),
    ("received('sale', 1)", {0}),
    ("received('sale', 6)", {0, 1}),
    ("received('sale', 6) AND NOT opened('sale', 6)", {1}),
    ("opened('digest', 1)", {17}),
    ("received('digest', 1)", set()),
    ("in_list('vip')", {0, 40}),
    ("NOT in_list('none') AND gender = 'f'", {0, 17}),
    ("in_audience('women') AND age_years < 50", {0}),
    ("in_audience('not_women')", {1, 2, 40}),
    ("in_audience('unsure')", {1, 40}),
    ("NOT in_audience('unsure')", {0, 2, 17}),
]


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Three:
    return Three(tmp_path_factory.mktemp("hand"), HAND)


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_case(hand: Three, text: str, expected: set[int]) -> None:
    bitmaps, sql, naive, count = hand.ask(text)
    assert (bitmaps, sql, naive, count) == (expected, expected, expected, len(expected))


def clauses_of(three: Three, text: str, row: dict[str, object]) -> list[Clause]:
    block = PersonBlock(three.bitmaps.index, int(str(row["ordinal"])))
    return explain(three.bitmaps.plan(text), block, row)


def test_each_person_alone_answers_as_among_all(hand: Three) -> None:
    for text, expected in CASES:
        held = {row["ordinal"] for row in PEOPLE if clauses_of(hand, text, row)[0].truth == HELD}
        assert held == expected, text


@pytest.mark.parametrize(
    ("text", "ordinal", "truth", "has"),
    [
        ("count_events('view', 6) >= 4", 0, FAILED, "3"),
        ("count_events('view', 'book', 6) >= 1", 0, HELD, "1"),
        ("sum_events('purchase', 6) > 6.26", 17, FAILED, "6.26"),
        ("days_since('open') <= 1", 17, FAILED, "5"),
        ("days_since('open') <= 1", 40, UNKNOWN, "none in 6 days"),
        ("age_years >= 30", 1, UNKNOWN, "unknown"),
        ("signup_date = DATE '2026-11-14'", 0, FAILED, "2026-11-04"),
        ("tag = 'spam'", 0, FAILED, "sport, spa"),
        ("is_suppressed", 2, HELD, "true"),
        ("reachable('sms')", 0, FAILED, "fcm"),
        ("opted_out('promo')", 2, FAILED, "none"),
        ("received('sale', 1)", 1, FAILED, None),
    ],
)
def test_a_clause_shows_what_the_person_has(hand, text, ordinal, truth, has) -> None:
    row = next(row for row in PEOPLE if row["ordinal"] == ordinal)
    (clause,) = clauses_of(hand, text, row)
    assert (clause.truth, clause.has, clause.decides) == (truth, has, True)


def test_the_deciding_clauses_lead_to_the_answer(hand: Three) -> None:
    text = "in_audience('women') AND (age_years > 50 OR days_since('open') < 1) AND NOT is_suppressed"
    young, old, nobody = (next(row for row in PEOPLE if row["ordinal"] == n) for n in (0, 17, 40))
    clauses_of_row = {row["ordinal"]: clauses_of(hand, text, row) for row in (young, old, nobody)}
    deciding = {
        n: [c.text for c in clauses if c.decides and c.depth] for n, clauses in clauses_of_row.items()
    }
    both = ["in_audience('women')", "gender = 'f'", "OR"]
    assert deciding[0] == [*both, "days_since('open') < 1", "NOT is_suppressed = TRUE"]
    assert deciding[17] == [*both, "age_years > 50", "NOT is_suppressed = TRUE"]
    outside = ["in_audience('women')", "gender = 'f'", "OR", "age_years > 50", "days_since('open') < 1"]
    assert deciding[40] == outside


# ---- generated populations and predicates


def random_world(seed: int) -> object:
    """Return a world of 70 people over five shards, with NULLs everywhere they are allowed."""
    rng = random.Random(seed)

    def maybe(value: object) -> object:
        return None if rng.random() < 0.25 else value

    people, days, pushes = [], [], []
    for ordinal in sorted(rng.sample(range(80), 70)):
        facts = {name: maybe(rng.choice(values)) for name, values in p.TEXTS.items()}
        facts |= {
            "age_years": maybe(rng.choice([0, 17, 18, 30, 31, 64, 130])),
            "days_since_signup": maybe(rng.choice([-3, 0, 1, 7, 8, 400])),
            "membership_level": maybe(rng.randrange(3)),
            "value_28d": rng.choice([0.0, -0.0, 0.1, -2.5, 9.75, 1e9]),
            "open_rate_28d": rng.choice([0.05, 0.1, 1 / 3, 1.0]),
            "n_events_7d": rng.randrange(5),
            "tags": maybe(rng.sample(["a", "ab", "b"], rng.randrange(4))),
            "channels": rng.sample(p.CHANNELS, rng.randrange(3)),
            "opted_out_topics": rng.sample(p.TOPICS, rng.randrange(3)),
            "is_suppressed": rng.random() < 0.2,
        }
        people.append(w.person(ordinal, **facts))
        seen = set()
        for _ in range(rng.randrange(7)):
            row = w.did(
                ordinal,
                rng.randrange(w.HISTORY),
                rng.choice(p.TYPES),
                maybe(rng.choice(p.ITEMS)),
                rng.choice([1, 1, 2, 3, 9]),
                rng.choice(p.AMOUNTS),
            )
            if (key := (row["day"], row["event_type"], row["item"])) not in seen:
                seen.add(key)
                days.append(row)
        pushes += [
            w.pushed(
                ordinal, rng.randrange(w.HISTORY), rng.choice(p.CAMPAIGNS), rng.choice(["sent", "opened"])
            )
            for _ in range(rng.randrange(3))
        ]
    lists = {"vip": set(rng.sample(range(80), 20)), "none": set()}
    return w.World(people, days, pushes, max_items=2, lists=lists, audiences=dict(p.AUDIENCES))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[Three]:
    return [
        Three(tmp_path_factory.mktemp(f"world{seed}"), random_world(seed), *bits)
        for seed, bits in ((1, (4, 4)), (2, (3, 6)), (3, (7, 7)))
    ]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(which=st.integers(0, 2), node=p.PREDICATES)
def test_all_engines_agree(worlds: list[Three], which: int, node: nodes.Node) -> None:
    bitmaps, sql, naive, count = worlds[which].ask(nodes.sql(node))
    assert bitmaps == naive
    assert sql == naive
    assert count == len(naive)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(node=p.PREDICATES)
def test_explain_counts_its_root_like_count(worlds: list[Three], node: nodes.Node) -> None:
    audience, text = worlds[0].bitmaps, nodes.sql(node)
    counted, lines = audience.explain(text)
    assert counted.count == lines[0].count == audience.count(text)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(node=p.PREDICATES)
def test_what_can_never_be_true_matches_nobody(worlds: list[Three], node: nodes.Node) -> None:
    whole = parse(nodes.sql(node), p.AUDIENCES, history_days=w.HISTORY)
    for conflict in never_true(whole, w.HISTORY, w.DAY):
        together = parse(" AND ".join(conflict.conditions), p.AUDIENCES, history_days=w.HISTORY)
        for world in worlds:
            assert not world.naive.members(together), str(conflict)


def test_every_kind_of_field_is_generated() -> None:
    named = {*p.TEXTS, *p.INTS, *p.REALS, "tag", "signup_date", "is_suppressed"}
    assert {FIELDS[name].kind for name in named} == set(FieldKind)
