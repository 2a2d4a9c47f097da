"""Conditions answered at once: one index stays open, with all that earlier questions read.

Grain: condition. Reads bitmap_index, bitmap_days, holdout_members; writes nothing. Counts, plans and reach
are those of `angelia audience`, by the same functions. Surprise: the resident index answers one question at a
time; a new index commit, catalog snapshot or holdout replaces it, and the old one's memory is let go.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from angelia.audience.hints import hints
from angelia.audience.holdout import HeldOut
from angelia.audience.language.errors_at import PredicateError
from angelia.audience.query import AudienceQuery, Counted, Line, as_predicate, index_day
from angelia.audience.reach import Reach, reach, topics
from angelia.catalog.saved_audiences import holdout_of, saved_predicates
from angelia.catalog.store import CatalogStore, generation_of
from angelia.console.engine import Engine
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake

TEXT_CHARS_AT_MOST = 20_000
_PLACED = re.compile(r"^predicate at (?:line \d+, )?column \d+: | \[[^\n]*\^[^\n]*\]$")
MOST_PARTS = 15  # values of a breakdown that are drawn; the rest is added up


@dataclass
class Resident:
    """One index commit with its holdout, kept between questions."""

    audience: AudienceQuery
    held_out: HeldOut | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ds(self) -> str:
        """The day of the index."""
        return self.audience.index.ds


class Keeper:
    """Keeps the newest resident index of a lake, and only that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, ...] = ()
        self._resident: Resident | None = None

    def newest(self, lake: Lake, today: date) -> Resident:
        """Return the resident index of the newest day.

        Raises:
            NotFound: there is no index yet.
        """
        ds = index_day(lake, None, today)
        index = lake.require("bitmap_index", ds=ds)
        heads = (lake.head(name, ds=ds) for name in ("catalog_snapshot", "holdout_members"))
        key = (index.citation(), *(head.citation() if head else "" for head in heads))
        with self._lock:
            if self._resident is None or self._key != key:
                audience = AudienceQuery(lake, ds, commit=index.number, resident=True)
                holdout = holdout_of(lake, ds)
                held_out = HeldOut(audience.index, holdout, keep=True) if holdout else None
                self._resident, self._key = Resident(audience, held_out), key
            return self._resident


@contextmanager
def asking(engine: Engine, lake: Lake) -> Iterator[Resident]:
    """Yield the resident index with the catalog's audiences of now; others wait.

    Raises:
        NotFound: there is no index yet.
    """
    keeper = engine.kept(("audiences", lake.store.url), Keeper)
    resident, store = keeper.newest(lake, engine.now().date()), engine.store()
    predicates = predicates_of(engine, store, lake, resident.ds)
    with resident.lock:
        resident.audience.audiences = dict(predicates)
        yield resident


def predicates_of(engine: Engine, store: CatalogStore, lake: Lake, ds: str) -> Mapping[str, str]:
    """Return the saved predicates of now, read again only once the catalog has changed."""
    key = ("predicates", str(store.engine.url), lake.store.url, ds, generation_of(store.heads()))
    return engine.kept(key, lambda: saved_predicates(store, lake, ds))


@dataclass(frozen=True)
class ConditionProblem:
    """Why a condition cannot be answered, and where in its text the mistake stands."""

    message: str
    fix: str | None
    before: str = ""
    wrong: str = ""
    after: str = ""
    at: int | None = None

    @classmethod
    def of(cls, error: AngeliaError, text: str) -> ConditionProblem:
        """Return what a page shows of an error: the text, split around the place."""
        if not isinstance(error, PredicateError):
            return cls(error.message, error.fix)
        at = min(error.offset, len(text))
        end = at
        while end < len(text) and (text[end].isalnum() or text[end] == "_"):
            end += 1
        end = min(max(end, at + 1), len(text))
        # The place stands beside it, and completions list what is known: a page needs neither in the words.
        words = _PLACED.sub("", error.message)
        fix = None if (error.fix or "").startswith("known: ") else error.fix
        return cls(words, fix, text[:at], text[at:end], text[end:], at)


@dataclass(frozen=True)
class ConditionAnswer:
    """What is known of a condition: its people, its plan, its parts."""

    text: str
    ds: str
    n_people: int
    counted: Counted
    reach: Reach
    plan: tuple[Line, ...]
    notes: tuple[str, ...]
    by: str
    parts: tuple[tuple[str, int], ...]
    n_other_parts: int
    overlap: Mapping[str, int] | None
    hashed: bool


def checked(text: str) -> str:
    """Return a condition's text as it is asked.

    Raises:
        InvalidInput: there is none, or it is too long.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise InvalidInput("there is no condition yet", fix="type one, such as gender = 'f'")
    if len(text) > TEXT_CHARS_AT_MOST:
        raise InvalidInput(f"a condition has at most {TEXT_CHARS_AT_MOST:,} characters", fix="shorten it")
    return text


def live(resident: Resident, text: str, topic: str) -> dict[str, object]:
    """Return the count while somebody types: people who match, and those who may be reached."""
    audience = resident.audience
    counts = reach(audience, as_predicate(audience, checked(text)), resident.held_out, topic or None)
    return {"matched": counts.matched, "allowed": counts.allowed, "ds": resident.ds}


def answer(resident: Resident, text: str, *, topic: str, by: str, other: str) -> ConditionAnswer:
    """Return all that a page shows of a condition.

    Args:
        topic: of the message, for those who refused it; "" = none.
        by: field to split by; "" = none.
        other: a second condition to compare with; "" = none.

    Raises:
        InvalidInput: one of them cannot be read.
    """
    audience = resident.audience
    predicate = as_predicate(audience, checked(text))
    counted, lines = audience.explain(predicate)
    parts = list(audience.breakdown(predicate, by).items()) if by else []
    second = as_predicate(audience, checked(other)) if other.strip() else ""
    return ConditionAnswer(
        predicate,
        resident.ds,
        int(audience.index.commit.meta["n_users"]),
        counted,
        reach(audience, predicate, resident.held_out, topic or None),
        tuple(lines),
        tuple(hints(audience, predicate)),
        by,
        tuple(parts[:MOST_PARTS]),
        sum(n for _, n in parts[MOST_PARTS:]),
        audience.overlap(predicate, second) if second else None,
        resident.held_out is not None and not resident.held_out.is_written,
    )


def topics_of(engine: Engine, resident: Resident) -> list[str]:
    """Return the topics that anybody refused; kept for an index commit."""
    key = ("topics", resident.audience.index.commit.citation())
    return engine.kept(key, lambda: topics(resident.audience))
