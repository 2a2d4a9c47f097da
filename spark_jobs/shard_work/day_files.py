"""The workers' part of aggregate_days: one group's rows of a day become one file.

Reads Arrow tables of classified rows, writes files into the day's open attempt. Only file entries and counts
travel back to the driver, as JSON text; a day's rows never do.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from angelia.contracts import dataset
from angelia.lake import FileEntry, Lake
from angelia.users.days import aggregate_events, distinct_events, distinct_pushes
from spark_jobs.running.session import on_executor

Writer = Callable[[tuple[pa.Scalar, ...], pa.Table], pa.Table]


@dataclass(frozen=True)
class Target:
    """Where workers write: the lake and the attempt folder of each day.

    `group_bits` and `shard_bits` give the shards of a group.
    """

    url: str
    branch: str
    endpoint: str | None
    name: str
    folders: Mapping[str, str]
    group_bits: int
    shard_bits: int

    def write(self, day: str, group: int, rows: pa.Table) -> str:
        """Write one group's rows of one day and return the entry as text."""
        first = (group << self.group_bits) >> self.shard_bits
        last = (((group + 1) << self.group_bits) - 1) >> self.shard_bits
        name = f"shards-{first:05d}-{last:05d}.parquet"
        with on_executor():
            lake = Lake.open(self.url, branch=self.branch, endpoint=self.endpoint)
            return lake.write_file(self.name, self.folders[day], rows, name, shards=(first, last)).to_json()


def event_writer(target: Target) -> Writer:
    """Return the function that writes one (day, group) of classified events as a file.

    A group of rejected rows only comes back as counts.
    """

    def write(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        day, group = key[0].as_py().isoformat(), key[1].as_py()
        if group < 0:
            return _answers([_counts(day, table["reason"])])
        distinct = distinct_events(table)
        entry = target.write(day, group, aggregate_events(distinct))
        rejects = (
            {"duplicate_event": table.num_rows - distinct.num_rows}
            if distinct.num_rows < table.num_rows
            else {}
        )
        latest = pc.max(table["arrival"]).as_py().isoformat()
        return _answers(
            [{"day": day, "entry": entry, "n": distinct.num_rows, "latest": latest, "rejects": rejects}]
        )

    return write


def push_writer(target: Target) -> Writer:
    """Return the function that writes one group of classified pushes as a file a day.

    A group of rejected rows only comes back as counts.
    """

    def write(key: tuple[pa.Scalar, ...], table: pa.Table) -> pa.Table:
        days = pc.cast(table["day"], pa.string())
        # Rejected rows travel only to be counted, in groups below 0; they belong to no shard.
        if key[0].as_py() < 0:
            return _answers(
                [
                    _counts(day, table["reason"].filter(pc.equal(days, day)))
                    for day in sorted(pc.unique(days).drop_null().to_pylist())
                ]
            )
        distinct = distinct_pushes(table)
        kept, answers = pc.cast(distinct["day"], pa.string()), []
        order = [(name, "ascending") for name in ("ordinal", "at_ts", "message_id", "kind")]
        for day in sorted(set(target.folders) & set(pc.unique(days).to_pylist())):
            rows = distinct.filter(pc.equal(kept, day)).select(dataset("user_pushes").names).sort_by(order)
            twice = pc.sum(pc.equal(days, day)).as_py() - rows.num_rows
            entry = target.write(day, key[0].as_py(), rows) if rows.num_rows else None
            answers.append(
                {
                    "day": day,
                    "entry": entry,
                    "n": rows.num_rows,
                    "rejects": {"duplicate_push": twice} if twice else {},
                }
            )
        return _answers(answers)

    return write


def _counts(day: str, reasons: pa.ChunkedArray) -> dict[str, Any]:
    counted = reasons.value_counts().to_pylist()
    return {
        "day": day,
        "entry": None,
        "n": 0,
        "rejects": {item["values"]: item["counts"] for item in counted},
    }


def _answers(answers: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.table({"answer": pa.array([json.dumps(answer) for answer in answers], pa.string())})


@dataclass
class DayAnswers:
    """The workers' answers for one day."""

    files: list[FileEntry] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    n: int = 0
    latest: str = ""


def gather(written: DataFrame) -> dict[date, DayAnswers]:
    """Run the writers and return their answers by day; only file entries and counts travel."""
    days: dict[date, DayAnswers] = defaultdict(DayAnswers)
    for row in written.collect():
        answer = json.loads(row.answer)
        day = days[date.fromisoformat(answer["day"])]
        if answer["entry"]:
            day.files.append(FileEntry.from_json(answer["entry"]))
        day.rejects.update(answer["rejects"])
        day.n += answer["n"]
        day.latest = max(day.latest, answer.get("latest", ""))
    return days
