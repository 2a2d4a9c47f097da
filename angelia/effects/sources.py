"""Fix what a report reads: one commit per partition, as DuckDB views of the dataset's name.

Reads the plan that the night's manifests were made from, the newest commits of what came of it, and, for what
people did afterwards, of the days that follow it.
Everything a report shows comes from these views, so two reports with the same list of commits are the same.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers of contracts and paths of our own commits.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow.parquet as pq

from angelia.contracts import dataset
from angelia.contracts.core import LOG
from angelia.contracts.duckdb import identifier, literal, sql_type
from angelia.delivery.manifest.batches import is_of_batch
from angelia.delivery.manifest.served import served
from angelia.lake import Commit, Lake
from angelia.users.index import index_head

NIGHT = (
    "decisions",
    "dispatch_manifest",
    "delivery_ledger",
    "push_receipts",
    "audience_members",
    "catalog_snapshot",
    "effects_mart",
)
PLAN_HOURS = 24
AFTER_HOURS = 24  # how long after the planned day conversions and active days still count
LATE_DAYS = 3
PLANS_DAYS = 28  # nights whose plans the heat map averages: four of each weekday


@dataclass(frozen=True)
class NightScope:
    """A night's instants: the planned hours and the end of the window in which effects count."""

    ds: str
    plan_start: datetime
    plan_end: datetime
    window_end: datetime

    @classmethod
    def of(cls, ds: str, lead_hours: int, decisions: Commit | None) -> NightScope:
        """Return the instants the plan itself states, else those of the settings."""
        start = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(hours=lead_hours)
        if decisions is not None and "start" in decisions.meta:
            start = datetime.fromisoformat(str(decisions.meta["start"])).astimezone(UTC)
        end = start + timedelta(hours=PLAN_HOURS)
        return cls(ds, start, end, end + timedelta(hours=AFTER_HOURS))

    def event_days(self) -> list[str]:
        """Return the arrival days that may hold events of the window."""
        first, last = self.plan_start.date(), self.window_end.date() + timedelta(days=LATE_DAYS)
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


@dataclass(frozen=True)
class ReportSources:
    """The commits a report reads, by dataset."""

    night: NightScope
    commits: Mapping[str, tuple[Commit, ...]]
    plans: tuple[Commit, ...] = ()  # decisions of the last nights, this one included; only their meta is read

    def only(self, name: str) -> Commit | None:
        """Return the only commit of a dataset with one partition a day, if there is one."""
        return self.commits[name][0] if self.commits[name] else None

    def refs(self) -> list[str]:
        """Return the citations of all commits, sorted."""
        every = [*(commit for commits in self.commits.values() for commit in commits), *self.plans]
        return sorted({commit.citation() for commit in every})

    def observed_until(self) -> date | None:
        """Return the last day whose events have arrived, if any of the window's have."""
        days = [date.fromisoformat(commit.partition["ds"]) for commit in self.commits["user_events"]]
        return max(days, default=None)


def find_sources(lake: Lake, ds: str, lead_hours: int) -> ReportSources:
    """Return a night's commits: the plan that is sent and what came of it, so far."""
    commits: dict[str, tuple[Commit, ...]] = {}
    for name in NIGHT:
        of_day = dataset(name).partition == ("ds",)
        heads = (
            [served(lake, name, ds)]
            if of_day
            # What the intake sent is no plan's, and is not held against one.
            else [lake.head(name, **leaf) for leaf in lake.partitions(name, ds=ds) if not _is_other(leaf)]
        )
        commits[name] = tuple(commit for commit in heads if commit is not None)
    index = index_head(lake)
    commits["user_index"] = (index,) if index else ()
    night = NightScope.of(ds, lead_hours, commits["decisions"][0] if commits["decisions"] else None)
    days = [lake.head("user_events", ds=day) for day in night.event_days()]
    commits |= _of_intake(lake, night)
    commits |= _of_reach(lake, ds)
    commits["user_events"] = tuple(commit for commit in days if commit is not None)
    return ReportSources(night, commits, _plans(lake, ds))


def _of_intake(lake: Lake, night: NightScope) -> dict[str, tuple[Commit, ...]]:
    """Return what came by REST in the plan's hours, and what was handed to the worker in them."""
    first, last = (f"{moment:%Y-%m-%dT%H}" for moment in (night.plan_start, night.plan_end))
    days = [(night.plan_start.date() + timedelta(days=n)).isoformat() for n in (0, 1)]
    commits: dict[str, tuple[Commit, ...]] = {}
    for name in ("intake_messages", "intake_steps"):
        leaves = [leaf for day in days for leaf in lake.partitions(name, ds=day)]
        inside = (leaf for leaf in leaves if first <= leaf["accept_hour"] <= last)
        commits[name] = tuple(lake.require(name, **leaf) for leaf in inside)
    # What nobody asked for was not handed over, either: batches are listed only where there are messages.
    batches = lake.partitions("dispatch_intake", ds=night.ds) if commits["intake_messages"] else []
    commits["dispatch_intake"] = tuple(lake.require("dispatch_intake", **leaf) for leaf in batches)
    return commits


def _of_reach(lake: Lake, ds: str) -> dict[str, tuple[Commit, ...]]:
    """Return who could be reached on what device when the night was planned."""
    days = [leaf["ds"] for leaf in lake.partitions("user_endpoints") if leaf["ds"] <= ds]
    features = served(lake, "user_features", ds)
    return {
        "user_endpoints": (lake.require("user_endpoints", ds=days[-1]),) if days else (),
        "user_features": (features,) if features else (),
        "registered_addresses": tuple(lake.history("registered_addresses", log=LOG)),
    }


def _is_other(leaf: Mapping[str, str]) -> bool:
    return "part" in leaf and is_of_batch(leaf)


def _plans(lake: Lake, ds: str) -> tuple[Commit, ...]:
    first = (date.fromisoformat(ds) - timedelta(days=PLANS_DAYS - 1)).isoformat()
    days = sorted(leaf["ds"] for leaf in lake.partitions("decisions") if first <= leaf["ds"] <= ds)
    heads = (lake.head("decisions", ds=day) for day in days)
    return tuple(commit for commit in heads if commit is not None)


def register(connection: duckdb.DuckDBPyConnection, lake: Lake, sources: ReportSources) -> None:
    """Make one view per dataset over its commits' files, with the contract's columns and types.

    A view is empty where nothing is committed.
    """
    connection.execute("SET TimeZone = 'UTC'")
    for name, commits in sources.commits.items():
        view(connection, lake, name, commits)


def view(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, commits: Sequence[Commit]) -> None:
    """Make or replace a dataset's view over some commits; it is empty where there are none.

    A column that may be null is null where the commits were written before it came.
    """
    by_commit = [paths for commit in commits if (paths := lake.paths(commit))]
    paths = [path for its_paths in by_commit for path in its_paths]
    if paths:
        # A commit's files are of one writer, so one footer tells what all of them have.
        have = {column for its_paths in by_commit for column in pq.read_schema(its_paths[0]).names}
        columns = ", ".join(
            f"CAST({'NULL' if c.nullable and c.name not in have else identifier(c.name)} AS "
            f"{sql_type(c.type)}) AS {identifier(c.name)}"
            for c in dataset(name).columns
        )
        files = ", ".join(map(literal, paths))
        body = (
            f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true)"
        )
    else:
        nothing = ", ".join(
            f"CAST(NULL AS {sql_type(c.type)}) AS {identifier(c.name)}" for c in dataset(name).columns
        )
        body = f"SELECT {nothing} WHERE FALSE"
    connection.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {body}")
