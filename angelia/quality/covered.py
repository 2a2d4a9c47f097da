"""The days of a dataset that a gate covers: those it measures, and those it notes.

Grain: leaf partition. Reads commits, and the verdicts of the days before; writes nothing. Surprise: only
sources are asked whether their own gate judged them. The night itself makes `user_days` of the last days
again, from judged sources, as late rows come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import groupby

from angelia.config import load_settings
from angelia.lake import Commit, Lake
from angelia.lake.lake import MAIN
from angelia.lake.views import newest
from angelia.quality.verdicts import CheckVerdict, load

THREADS = 8  # on S3 a commit is two requests
NAMED = 3  # days that one line names
_RECEIPTS = "push_receipts"


def commits_for(lake: Lake, name: str, ds: str) -> tuple[Commit, ...]:
    """Return the commits that a gate of `ds` reads.

    Of receipts these are the commits of the plans that a night of `ds` reads (ds-3 to ds).
    """
    return tuple(commit for day in days_for(name, ds) for commit in newest(lake, name, day))


def days_for(name: str, ds: str) -> list[str]:
    """Return the days of a dataset that a gate of `ds` looks at, oldest first."""
    last, reach = date.fromisoformat(ds), 3 if name == "push_receipts" else 0
    return [(last - timedelta(days=back)).isoformat() for back in range(reach, -1, -1)]


def days_before(name: str, ds: str) -> list[str]:
    """Return the days that jobs of `ds` may read and its gate does not measure, oldest first.

    They are a window of history; of receipts, which are many commits a day, those that late rows may reach.
    """
    settings, measured = load_settings(), days_for(name, ds)
    reach = (
        2 * settings.late_days if name == _RECEIPTS else max(settings.history_days, 2 * settings.late_days)
    )
    last = date.fromisoformat(ds)
    days = [(last - timedelta(days=back)).isoformat() for back in range(reach, 0, -1)]
    return [day for day in days if day not in measured]


def stand_before(lake: Lake, names: Sequence[str], ds: str) -> dict[str, list[str]]:
    """Return citations of what stands on the days before, by dataset; maybe an empty list."""
    wanted = [(name, day) for name in names for day in days_before(name, ds)]
    lookers = {
        name: lake.listed(name, min(day for other, day in wanted if other == name)) for name, _ in wanted
    }
    with ThreadPoolExecutor(THREADS) as pool:
        standing = list(pool.map(lambda key: newest(lookers[key[0]], *key), wanted))
    return {
        name: [
            commit.citation()
            for (other, _), commits in zip(wanted, standing, strict=True)
            if other == name
            for commit in commits
        ]
        for name in names
    }


def unjudged(lake: Lake, gate: str, ds: str, seen: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line a dataset that counts the days before `ds` with something left unjudged."""
    # Receipts come in all day long, and four nights measure each of their days.
    days_of = {
        name: {day: list(group) for day, group in groupby(texts, lambda text: text.split("ds=")[1][:10])}
        for name, texts in seen.items()
        if name != _RECEIPTS
    }
    # A day's verdicts are about all its datasets: each is looked up once.
    wanted = sorted({day for by_day in days_of.values() for day in by_day})
    with ThreadPoolExecutor(THREADS) as pool:
        verdicts = dict(zip(wanted, pool.map(lambda day: _verdicts(lake, gate, day), wanted), strict=True))
    for name, by_day in days_of.items():
        states = {day: _state(lake, name, verdicts[day], texts) for day, texts in by_day.items()}
        bad = {
            word: [day for day, state in states.items() if state == word]
            for word in ("changed since", "closed", "never judged")
        }
        if not any(bad.values()):
            continue
        counts = "; ".join(f"{len(days)} {word} ({_named(days)})" for word, days in bad.items() if days)
        first = next(days[-1] for days in bad.values() if days)
        yield (
            f"{name}: of {len(states)} days before {ds}, {sum(not state for state in states.values())} stand "
            f"as their own gate passed them; {counts}: they are read as they stand now; to judge one, run "
            f"`angelia quality check --gate {gate} --ds {first}`"
        )


def _verdicts(lake: Lake, gate: str, day: str) -> list[CheckVerdict]:
    return load(lake, gate, day) or (load(lake, gate, day, MAIN) if lake.branch != MAIN else [])


def _state(lake: Lake, name: str, verdicts: Sequence[CheckVerdict], citations: Sequence[str]) -> str:
    """Return what is wrong with a day, or nothing."""
    if not verdicts:
        return "never judged"
    own = [verdict for verdict in verdicts if verdict.dataset == name]
    if any(verdict.blocks for verdict in own):
        return "closed"
    # The content tells a commit from another; an erased one keeps its number, and is the judged one.
    judged = {text for verdict in own for text in verdict.commits}
    if set(citations) <= judged or all(_is_erased(lake, text, judged) for text in citations):
        return ""
    return "changed since"


def _is_erased(lake: Lake, citation: str, judged: set[str]) -> bool:
    ref = citation.partition("#")[0]
    return ref in {text.partition("#")[0] for text in judged} and lake.cited(citation).erased


def _named(days: Sequence[str]) -> str:
    more = f" and {len(days) - NAMED} more" if len(days) > NAMED else ""
    return ", ".join(days[-NAMED:]) + more
