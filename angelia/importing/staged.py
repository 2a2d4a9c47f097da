"""What one output of an import has come to.

Where its rows are, how they ended, and the days it covers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from angelia.importing.mapping import Output

BROKEN_LINE = "line is no CSV row"


@dataclass
class Staged:
    """One output after its run: where its rows are and how they ended."""

    output: Output
    table: str
    n_read: int = 0
    n_kept: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    nulled: dict[str, int] = field(default_factory=dict)
    base: str = ""  # the rows as they stand in the files
    raw_columns: list[tuple[str, str, bool]] = field(
        default_factory=list
    )  # file column, its name in `base`, whether a personal one is made of it

    def nulled_by_default(self) -> dict[str, int]:
        """Return column -> values that became null without the mapping asking for it."""
        columns = [name for name, spec in self.output.columns.items() if spec.invalid is None]
        counts = {
            name: sum(n for reason, n in self.nulled.items() if reason.startswith(f"{name}: "))
            for name in columns
        }
        return {name: n for name, n in counts.items() if n}

    @property
    def reject_pct(self) -> float:
        """Rejected rows per row that was not filtered out, in percent."""
        considered = self.n_read - sum(self.filtered.values())
        return 100.0 * sum(self.rejected.values()) / considered if considered else 0.0


@dataclass(frozen=True)
class Window:
    """The days of an import: the last one, and by how many days the data's times are moved."""

    ds: str
    shift_days: int
