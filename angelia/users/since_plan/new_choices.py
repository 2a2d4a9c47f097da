"""Topics, channels and quiet hours that people chose after a plan's closed day.

Reads commits of `user_preferences` filed under later days, each once; is given entries of the log
`preference_choices`. Grain: person x choice. Surprises: words of the closed day and before count for nothing
here, since the plan knew them; a refusal ends by a later yes only, not by a snapshot that lacks it, which may
be a part of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.sending import Micros
from angelia.lake import Lake
from angelia.timing.own_hours import Span, parse_span

IMPORTED, QUIET_HOURS = "user_preferences", "quiet_hours"  # a dataset; a kind of choice
_COLUMNS = ["user_id", "kind", "name", "is_opted_in", "updated_ts"]
Word = tuple[Micros, bool]  # when, is it no: of two words at one time no is the last, as the night reads them


class NewChoices:
    """The last word of each person on each thing they spoke of since a plan."""

    def __init__(self, lake: Lake, ds: str) -> None:
        self._lake, self._ds = lake, ds
        self._since = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
        self._read: dict[str, int] = {}  # day -> its newest commit that was read
        self._refused: dict[tuple[str, str, str], Word] = {}  # (user, kind, name)
        self._quiet: dict[str, tuple[Micros, bool, str]] = {}  # user -> when, are they taken back, hours

    def __bool__(self) -> bool:
        return bool(self._refused)

    def take(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Take in entries of the log.

        A channel's refusal there stands in `suppressions`, too, which may end it.
        """
        self._fold(entry for entry in entries if entry["kind"] != "channel" or entry["is_opted_in"])

    def _fold(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Take in what people chose; words of the plan's closed day and before are left out."""
        for entry in entries:
            at, kind = entry["updated_ts"], str(entry["kind"])
            assert isinstance(at, datetime)
            if at < self._since:
                continue
            word = round(at.timestamp() * 1e6), not entry["is_opted_in"]
            user, name = str(entry["user_id"]), str(entry["name"])
            if kind == QUIET_HOURS:
                self._quiet[user] = max((*word, name), self._quiet.get(user, (*word, name)))
            elif kind in ("topic", "channel"):
                key = user, kind, name
                self._refused[key] = max(word, self._refused.get(key, word))

    def read_imported(self) -> bool:
        """Read preferences that were imported since the last call; return whether there were any."""
        before = dict(self._read)
        for leaf in self._lake.partitions(IMPORTED):
            day = leaf["ds"]
            # The plan read its own day, and rows that happened later are never filed under it.
            if day <= self._ds:
                continue
            last = self._read.get(day, 0)
            if self._lake.require(IMPORTED, **leaf).number > last:
                for commit in self._lake.history(IMPORTED, **leaf):
                    if commit.number > last:
                        self._take_table(self._lake.read(commit, _COLUMNS))
                        self._read[day] = commit.number
        return self._read != before

    def _take_table(self, table: pa.Table) -> None:
        """Take in a snapshot: what changed since the plan is little of it, and most of that is yes."""
        table = table.drop_null()
        since = pa.scalar(self._since, table["updated_ts"].type)
        table = table.filter(pc.greater_equal(table["updated_ts"], since))
        self._fold(table.filter(pc.invert(table["is_opted_in"])).to_pylist())
        # A yes says something only to whoever said no since the plan.
        refusers = pa.array(sorted({user for user, _, _ in self._refused}), pa.string())
        is_answer = pc.and_(table["is_opted_in"], pc.is_in(table["user_id"], refusers))
        self._fold(table.filter(is_answer).to_pylist())

    def refuses(self, user: str, kind: str, name: str) -> bool:
        """Say whether a person's last word since the plan on a topic or channel is no."""
        return self._refused.get((user, kind, name), (0, False))[1]

    def quiet_of(self, users: Sequence[str]) -> dict[int, Span]:
        """Return, by row, the quiet hours that people chose since the plan; they are few.

        Hours that were taken back since are none: the plan's stay in its rows.
        """
        if not self._quiet:
            return {}
        chosen = ((i, self._quiet[user]) for i, user in enumerate(users) if user in self._quiet)
        spans = ((i, None if is_no else parse_span(name)) for i, (_, is_no, name) in chosen)
        return {i: span for i, span in spans if span is not None}
