"""Verdicts, row counts and rejected rows of the last days, gathered for the quality report.

Grain: day. Reads the newest verdicts of each gate and of the guard on this branch, and the newest commits of
    every dataset that is kept by day alone; writes nothing. What would surprise: a verdict or a commit that
    cannot be read is named among `unreadable`, and the rest is still shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from angelia.contracts import CONTRACTS
from angelia.errors import Corrupt
from angelia.lake import Commit, Lake, numbered
from angelia.quality.gates import GATES
from angelia.quality.verdicts import CheckVerdict, load

GUARD = "guard"
LIST_THREADS = 8
BY_DAY = tuple(name for name, contract in CONTRACTS.items() if contract.partition == ("ds",))


@dataclass(frozen=True)
class History:
    """The last days' verdicts, row counts, rejects and problems.

    Sequences have one entry per day, oldest first, and None where nothing was committed.

    Args:
        branch: whose verdicts these are.
        days: consecutive days, oldest first.
        verdicts: by (day, gate); absent where the gate was not checked.
        guard: the guard's verdict on a night, by day.
        rows: rows of a dataset's newest commit.
        rejects: rows left out, by (dataset, reason).
        unreadable: what could not be read, in words.
    """

    branch: str
    days: tuple[str, ...]
    verdicts: Mapping[tuple[str, str], Sequence[CheckVerdict]]
    guard: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Sequence[int | None]]
    rejects: Mapping[tuple[str, str], Sequence[int | None]]
    unreadable: Sequence[str] = field(default=())

    def of(self, day: str) -> list[CheckVerdict]:
        """Return all verdicts of a day, in the gates' order."""
        return [verdict for gate in GATES for verdict in self.verdicts.get((day, gate), ())]


def days_checked(lake: Lake) -> list[str]:
    """Return the days that have verdicts on this branch, oldest first."""
    return sorted(name for name in lake.store.children(f"quality/{lake.branch}") if _is_day(name))


def gather(lake: Lake, ds: str, days: int) -> History:
    """Return what is known of the `days` days up to and with `ds`."""
    last = date.fromisoformat(ds)
    every = tuple((last - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1))
    unreadable: list[str] = []
    verdicts, guard = _verdicts(lake, every, unreadable)
    commits = _commits(lake, every, unreadable)
    rows: dict[str, list[int | None]] = {}
    rejects: dict[tuple[str, str], list[int | None]] = {}
    for name in BY_DAY:
        own = [commits.get((name, day)) for day in every]
        if not any(own):
            continue
        rows[name] = [commit.rows if commit else None for commit in own]
        for reason in sorted(
            {reason for commit in own if commit for reason, n in commit.rejects.items() if n}
        ):
            rejects[name, reason] = [commit.rejects.get(reason, 0) if commit else None for commit in own]
    return History(lake.branch, every, verdicts, guard, rows, rejects, tuple(unreadable))


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _verdicts(
    lake: Lake, days: Sequence[str], unreadable: list[str]
) -> tuple[dict[tuple[str, str], Sequence[CheckVerdict]], dict[str, Mapping[str, Any]]]:
    verdicts: dict[tuple[str, str], Sequence[CheckVerdict]] = {}
    guard: dict[str, Mapping[str, Any]] = {}
    there = set(days_checked(lake))
    for day in days:
        if day not in there:
            continue
        for gate in GATES:
            try:
                if kept := load(lake, gate, day):
                    verdicts[day, gate] = kept
            except Corrupt as error:
                unreadable.append(error.message)
        try:
            stored = numbered.load(lake, GUARD, day)
            if stored is not None and isinstance(stored[1], dict):
                guard[day] = stored[1]
        except Corrupt as error:
            unreadable.append(error.message)
    return verdicts, guard


def _commits(lake: Lake, days: Sequence[str], unreadable: list[str]) -> dict[tuple[str, str], Commit]:
    """Return the newest commits by (dataset, day).

    Each takes some requests, so many run at a time: a distant store answers in 20 ms.
    """
    wanted = []
    for name in BY_DAY:
        there = {leaf["ds"] for leaf in lake.partitions(name)}
        wanted += [(name, day) for day in days if day in there]

    def head(key: tuple[str, str]) -> Commit | str | None:
        try:
            return lake.head(key[0], ds=key[1])
        except Corrupt as error:
            return error.message

    with ThreadPoolExecutor(LIST_THREADS) as pool:
        heads = dict(zip(wanted, pool.map(head, wanted), strict=True))
    unreadable += [said for said in heads.values() if isinstance(said, str)]
    return {key: commit for key, commit in heads.items() if isinstance(commit, Commit)}


def short_day(day: str) -> str:
    """Return a day as a chart's axis names it: `4 Nov`."""
    return f"{date.fromisoformat(day):%d %b}".lstrip("0")
