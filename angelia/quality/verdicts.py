"""Verdicts: a gate's result for each check, as numbered JSON objects; the newest counts.

Grain: check of a gate of a day. Writes and reads `quality/{branch}/{ds}/{gate}/{n}.json` in the lake's store.
They hold counts, never values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from angelia.contracts.core import Severity
from angelia.errors import Corrupt, GateClosed
from angelia.lake import Lake, numbered
from angelia.output import percent

_SHOWN = 4  # failures that the one line names; `angelia quality show` lists all


def short_percent(pct: float) -> str:
    """Return per cent in up to three digits, never as a power of ten."""
    return percent(pct) if 0 < pct < 1 else f"{pct:.3g} %"


@dataclass(frozen=True)
class CheckVerdict:
    """The result of one check.

    `n_bad` None: not measured, since the column it is about is missing (a check of its own says so).
    """

    gate: str
    ds: str
    dataset: str
    check: str
    column: str | None
    severity: str
    success: bool
    crashed: bool
    n_rows: int | None
    n_bad: int | None
    bad_pct: float | None
    tolerated_pct: float
    breach: str
    command: str
    commits: tuple[str, ...] = ()
    error: str | None = None

    @property
    def blocks(self) -> bool:
        """Return whether it closes the gate: a critical check that failed, or any that crashed."""
        return not self.success and (self.crashed or self.severity == Severity.CRITICAL)

    def sentence(self) -> str:
        """Return what is wrong in a few words: dataset, column, count, limit."""
        where = f"{self.dataset}.{self.column}" if self.column and "," not in self.column else self.dataset
        if self.crashed:
            return f"{where}: the check {self.check} crashed ({self.error}); the data may be good or bad"
        if self.n_rows is None:
            return f"{where}: {self.breach}"
        limit = f", at most {self.tolerated_pct:g} % allowed" if self.tolerated_pct else ""
        share = "" if self.bad_pct is None else f" ({short_percent(self.bad_pct)}{limit})"
        return f"{where}: {self.breach} in {self.n_bad or 0:,} of {self.n_rows:,} rows{share}"


def store(
    lake: Lake,
    gate: str,
    ds: str,
    outcomes: Sequence[CheckVerdict],
    seen: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Write a gate's verdicts as the next numbered object; return its key.

    Args:
        lake: whose branch is written.
        gate: sources, features or plan.
        ds: the closed day.
        outcomes: a verdict per check.
        seen: commits that stood beside what was measured, by dataset: the context of invariants, and days
            before `ds` that jobs read, too.
    """
    verdicts = [asdict(verdict) for verdict in outcomes]
    return numbered.store(
        lake,
        gate,
        ds,
        {"verdicts": verdicts, "seen": {name: list(citations) for name, citations in (seen or {}).items()}},
    )


def load(lake: Lake, gate: str, ds: str, branch: str | None = None) -> list[CheckVerdict]:
    """Return the newest verdicts of a gate, or none.

    They are this lake's branch's if no other is named.

    Raises:
        Corrupt: the stored object holds no verdicts.
    """
    return load_with_seen(lake, gate, ds, branch)[0]


def load_with_seen(
    lake: Lake, gate: str, ds: str, branch: str | None = None
) -> tuple[list[CheckVerdict], dict[str, tuple[str, ...]]]:
    """Return the newest verdicts of a gate, and what stood beside by dataset; see `store`.

    Objects of older versions hold a list of verdicts alone.

    Raises:
        Corrupt: the stored object holds no verdicts.
    """
    again = f"run `angelia quality check --gate {gate} --ds {ds}` again"
    try:
        stored = numbered.load(lake, gate, ds, branch)
    except Corrupt as error:
        raise Corrupt(error.message, fix=again) from None
    if stored is None:
        return [], {}
    key, value = stored
    try:
        listed, seen = (value, {}) if isinstance(value, list) else (value["verdicts"], value["seen"])
        return (
            [CheckVerdict(**{**raw, "commits": tuple(raw["commits"])}) for raw in listed],
            {name: tuple(citations) for name, citations in seen.items()},
        )
    except (AttributeError, TypeError, KeyError):
        raise Corrupt(f"{key} holds no verdicts", fix=again) from None


def require_open(gate: str, ds: str, verdicts: Sequence[CheckVerdict]) -> None:
    """Do nothing if no verdict blocks.

    Raises:
        GateClosed: one line: each blocking dataset, column and count, and the command that shows the first
            one's rows.
    """
    blocking = [verdict for verdict in verdicts if verdict.blocks]
    if not blocking:
        return
    named = "; ".join(verdict.sentence() for verdict in blocking[:_SHOWN])
    more = (
        f"; and {len(blocking) - _SHOWN} more (angelia quality show --ds {ds})"
        if len(blocking) > _SHOWN
        else ""
    )
    first = blocking[0]
    look = "see the rows" if first.n_rows is not None else "see its commits"
    raise GateClosed(f"gate {gate} of {ds} is closed: {named}{more}", fix=f"{look}: {first.command}")
