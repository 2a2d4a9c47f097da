"""How categories were opened by hour before the window, kept in the meta of send_times.

Part of build_send_times. Grain: category x cell, and category x weekday: opens, and those to expect at
people's own rates and curves, halved every 180 days. Reads user_pushes and the send_times before; what it
makes is `category_record` of the next meta: the sums of all days up to its `ds`, at most a year of them at
the first. Once a week the days that have left the window are added, so a night reads no day twice; up to six
of them wait for that, and are not counted until then. Surprise: a category that comes later begins with the
window, since days are counted by the categories that materials have that night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from angelia.timing.category_hours import HALF_LIFE, WEEKDAYS, CategoryPushes, category_sums, merge
from angelia.timing.evidence import CELLS, MATURITY_H, Floats
from spark_jobs.running.reading import ints, read_window
from spark_jobs.shard_work.curve_shard import (
    HOUR_US,
    CurveInputs,
    Users,
    category_numbers,
    category_pushes,
    days_between,
)
from spark_jobs.shard_work.past_hours import FOLD_EVERY, YEAR, Stretch, stretches

RECORD = "category_record"
Sums = dict[str, Floats]


@dataclass(frozen=True)
class CategoryPast:
    """What was kept, and the days that are added to it.

    Attributes:
        last_day: the last day before the window.
        ds: the record's day; None = there is none.
        sums: by category, (2, 48 + 7) each, as of `ds`.
        parts: stretches of days up to `last_day` to add; none where a week is not due.
        before: the commit that kept it.
    """

    last_day: str
    ds: str | None = None
    sums: Sums = field(default_factory=dict)
    parts: tuple[Stretch, ...] = ()
    before: Commit | None = None

    @classmethod
    def find(cls, lake: Lake, ds: str, last_day: str) -> CategoryPast:
        """Return what the night before kept, and which days are due."""
        nights = [leaf["ds"] for leaf in lake.partitions("send_times") if leaf["ds"] < ds]
        before = lake.require("send_times", ds=nights[-1]) if nights else None
        kept: Mapping[str, Any] = (before.meta.get(RECORD) or {}) if before is not None else {}
        # A first night, or one after nights that kept nothing, counts a year once.
        if not kept:
            return cls(last_day, parts=_pushed(lake, last_day, YEAR))
        sums = {name: np.asarray(values, dtype=np.float64) for name, values in kept["sums"].items()}
        days = days_between(kept["ds"], last_day) + 1
        due = _pushed(lake, last_day, days) if days >= FOLD_EVERY else ()
        return cls(last_day, kept["ds"], sums, due, before)

    def commits(self) -> list[Commit]:
        """Return what it rests on."""
        return [
            *([self.before] if self.before else []),
            *(c for _, _, window in self.parts for _, c in window),
        ]

    def with_(self, counted: Sequence[Mapping[str, Sequence[Sequence[float]]]]) -> CategoryPast:
        """Return the record with what the shards counted of the due days."""
        if not self.parts:
            return self
        added = merge(counted)
        for name, old in self.faded(self.last_day).items():
            added[name] = added.get(name, 0.0) + old
        return CategoryPast(self.last_day, self.last_day, {name: added[name] for name in sorted(added)})

    def faded(self, ds: str) -> Sums:
        """Return the sums as of a later day."""
        if self.ds is None:
            return {}
        share = 0.5 ** ((days_between(self.ds, ds) + 1) / HALF_LIFE)
        return {name: values * share for name, values in self.sums.items()}

    def to_meta(self) -> dict[str, Any]:
        """Return what the meta of send_times keeps."""
        if self.ds is None:
            return {}
        return {RECORD: {"ds": self.ds, "sums": {n: np.round(v, 3).tolist() for n, v in self.sums.items()}}}


def _pushed(lake: Lake, last_day: str, days: int) -> tuple[Stretch, ...]:
    parts = stretches(lake, last_day, days, "user_pushes")
    return tuple(part for part in parts if part[2])


def count_older(
    inputs: CurveInputs, past: CategoryPast, users: Users, curve: Floats, rate: Floats, shard: int
) -> dict[str, list[list[list[float]]]]:
    """Return a shard's sums of the due days by category, as of the last of them.

    `curve` is (n, 48) and `rate` (n,), tonight's.
    """
    names = inputs.categories
    total = np.zeros((len(names), 2, CELLS + WEEKDAYS))
    for stretch in past.parts:
        sent, opened = _read(inputs, past.last_day, stretch, users, shard)
        total += category_sums(sent, opened, curve, rate, len(names))
    return dict(zip(names, total.tolist(), strict=True))


def _read(
    inputs: CurveInputs, last_day: str, stretch: Stretch, users: Users, shard: int
) -> tuple[CategoryPushes, CategoryPushes]:
    """Return a stretch's pushes and opens of known category."""
    last, days, window = stretch
    columns = ["kind", "material_id", "at_ts", "sent_ts"]
    rows = read_window(inputs.lake, "user_pushes", window, columns, shard, inputs.shard_bits)
    rows = rows.filter(pc.less(rows["row"], len(users.ordinal)))
    # A day more, since what was opened on the first day may have been sent on the day before it.
    clock = users.clock(np.datetime64(last, "D"), days + 1)
    at_us, sent_us = (ints(rows[name].cast(pa.int64())) for name in ("at_ts", "sent_ts"))
    at, category = sent_us // HOUR_US - clock.first_hour, category_numbers(inputs, rows["material_id"])
    here = (at >= 0) & (at < 24 * (days + 1)) & (category >= 0) & (at_us - sent_us <= MATURITY_H * HOUR_US)
    is_sent = np.asarray(pc.equal(rows["kind"], "sent").to_numpy()).astype(bool)
    age = days_between(last, last_day) + 1 + days - at // 24
    user = ints(rows["row"])
    kinds = (here & is_sent, here & ~is_sent)
    sent, opened = (category_pushes(clock, user[k], at[k], category[k], age[k]) for k in kinds)
    return sent, opened
