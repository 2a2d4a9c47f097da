"""Write a world's sources: weeks of events and random pushes, and the last day's snapshots.

Reads nothing; writes user_events and push_history for every day of the window, and user_profiles,
user_endpoints and user_preferences for the last day. Blocks of people are simulated in separate processes;
every number is drawn by counter, so the bytes do not depend on the number of processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts import ids
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.world import dirt, draws, tables
from angelia.world.activity import Events
from angelia.world.clock import day_name
from angelia.world.draws import Ints
from angelia.world.parameters import parameters_sha256
from angelia.world.population import People
from angelia.world.simulate import late_by, simulate
from angelia.world.truth import World

BLOCK = 16_384  # people per file; fixed, because files are part of the bytes
LATE_DAYS = 3
SNAPSHOTS = ("user_profiles", "user_endpoints", "user_preferences")

Leaf = tuple[str, str]  # dataset, ds


@dataclass(frozen=True)
class Place:
    """Where a worker writes: the lake, and the attempt folder of each leaf."""

    url: str
    branch: str
    endpoint: str | None
    folders: dict[Leaf, str]

    def write(self, lake: Lake, leaf: Leaf, block: int, table: pa.Table) -> tuple[Leaf, str]:
        """Write one block's file of a leaf; return the leaf and the entry as JSON.

        Past pushes are our own records, so they must meet the contract; other sources may be dirty.
        """
        entry = lake.write_file(
            leaf[0], self.folders[leaf], table, f"part-{block:04d}.parquet", conform=leaf[0] == "push_history"
        )
        return leaf, entry.to_json()


@dataclass(frozen=True)
class Written:
    """The result of one block: its files and its counts."""

    entries: list[tuple[Leaf, str]]
    n_events: int
    n_pushes: int
    n_opens: int


def block_index(block: int, size: int) -> Ints:
    """Return the user numbers of a block of a population."""
    return np.arange(block * BLOCK, min((block + 1) * BLOCK, size), dtype=np.int64)


def n_blocks(size: int) -> int:
    """Return the number of blocks of a population."""
    return -(-size // BLOCK)


def event_rows(person: People, ids_of: pa.Array, day: int, dated: dict[int, Events], size: int) -> pa.Table:
    """Return the user_events rows that arrive on a day, dirt included.

    They are the day's own events that arrive in time, and late ones of the three days before.

    Args:
        dated: events by the day they happened on; missing days have none.
        size: population, to invent users who are not in it.
    """
    parts, keys = [], []
    for back in range(LATE_DAYS + 1):
        of_day = dated.get(day - back)
        if of_day is None:
            continue
        arriving = of_day.take(np.flatnonzero(late_by(person, of_day, day - back) == back))
        parts.append(tables.events(person, ids_of, arriving, day - back))
        keys.append(
            draws.counted(ids.mix(person.keys[arriving.row], "event", str(day - back)), arriving.number)
        )
    return dirt.soil_events(pa.concat_tables(parts).combine_chunks(), np.concatenate(keys), size)


def snapshot_rows(
    world: World, person: People, day: int, bounced: set[tuple[str, str]], refused: list[tuple[str, str, int]]
) -> dict[str, pa.Table]:
    """Return profiles, endpoints and preferences of people as of a day, dirt included.

    `tables` explains `bounced` and `refused`.
    """
    profiles = tables.profiles(person, day)
    endpoints = tables.endpoints(person, world.anchor_day, day, bounced)
    preferences = tables.preferences(person, world.anchor_day, day, refused)
    return {
        "user_profiles": dirt.soil_profiles(profiles, person.keys),
        "user_endpoints": dirt.soil_endpoints(endpoints, _row_keys(endpoints)),
        "user_preferences": dirt.soil_preferences(preferences, _row_keys(preferences)),
    }


def _row_keys(table: pa.Table) -> draws.Keys:
    users, second, third = (table[name].to_pylist() for name in table.column_names[:3])
    return ids.user_keys("\x1f".join(row) for row in zip(users, second, third, strict=True))


def write_block(world: World, block: int, days: int, place: Place) -> Written:
    """Simulate one block over the window and write its files; runs in a worker process."""
    lake = Lake.open(place.url, branch=place.branch, endpoint=place.endpoint)
    person = world.people(block_index(block, world.users))
    ids_of = tables.user_ids(person)
    entries: list[tuple[Leaf, str]] = []
    n_events = n_pushes = n_opens = 0
    dated: dict[int, Events] = {}
    for lived in simulate(world, person, world.anchor_day - days + 1, world.anchor_day):
        ds = day_name(lived.day)
        # Late events need the days before; older ones can no longer arrive.
        dated = {day: events for day, events in dated.items() if day >= lived.day - LATE_DAYS} | {
            lived.day: lived.events
        }
        rows = event_rows(person, ids_of, lived.day, dated, world.users)
        pushed = tables.history(person, ids_of, lived.pushes, lived.answers, lived.day)
        entries.append(place.write(lake, ("user_events", ds), block, rows))
        entries.append(place.write(lake, ("push_history", ds), block, pushed))
        n_events, n_pushes = n_events + len(rows), n_pushes + len(pushed)
        n_opens += int((lived.answers.opened_at >= 0).sum())
    for name, rows in snapshot_rows(world, person, world.anchor_day, set(), []).items():
        entries.append(place.write(lake, (name, day_name(world.anchor_day)), block, rows))
    return Written(entries, n_events, n_pushes, n_opens)


def run_blocks(
    work: Callable[..., Any],
    blocks: int,
    arguments: tuple[Any, ...],
    processes: int,
    note: Callable[[str], None],
) -> list[Any]:
    """Return `work(world, block, *rest)` for every block, in block order.

    One block, or one process, runs here; otherwise blocks run in a pool of processes.
    """
    world, rest = arguments[0], arguments[1:]
    if processes <= 1 or blocks == 1:
        answers = []
        for block in range(blocks):
            answers.append(work(world, block, *rest))
            note(f"world: block {block + 1} of {blocks}")
        return answers
    results: dict[int, Any] = {}
    # Spawned, not forked: pyarrow has threads.
    with ProcessPoolExecutor(min(processes, blocks), mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(work, world, block, *rest): block for block in range(blocks)}
        for future in as_completed(waiting):
            results[waiting[future]] = future.result()
            note(f"world: block {len(results)} of {blocks}")
    return [results[block] for block in range(blocks)]


def publish_once(
    lake: Lake,
    attempt: Attempt,
    *,
    inputs: Sequence[Commit] = (),
    params: Mapping[str, Any],
    meta: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Publish an attempt, or return the standing commit if it already holds the same.

    The same means: equal inputs, parameters and file hashes, and bytes that are still whole. So a second
    identical run changes nothing.
    """
    standing = lake.head(attempt.name, **attempt.partition)
    if standing is not None and _same(standing, attempt, inputs, params) and _is_whole(lake, standing):
        return standing
    return attempt.publish(inputs=inputs, params=params, meta=meta, rejects=rejects)


def _same(standing: Commit, attempt: Attempt, inputs: Sequence[Commit], params: Mapping[str, Any]) -> bool:
    def shapes(files: Sequence[Any]) -> list[tuple[str, str]]:
        return sorted((entry.path.rsplit("/", 1)[-1], entry.sha256) for entry in files)

    same_inputs = sorted(standing.inputs) == sorted({item.citation() for item in inputs})
    return (
        same_inputs
        and dict(standing.params) == dict(params)
        and shapes(standing.files) == shapes(attempt.files)
    )


def _is_whole(lake: Lake, commit: Commit) -> bool:
    try:
        for entry in commit.files:
            lake.check_bytes(entry)
    except Corrupt:
        return False
    return True


def create_world(
    lake: Lake,
    url: str,
    *,
    users: int,
    days: int,
    seed: int,
    anchor_day: int,
    processes: int = 1,
    endpoint: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the sources of a new world and return a summary.

    Args:
        lake: where to; `url` and `endpoint` open the same lake in worker processes.
        anchor_day: the last day, days since 1970.
        note: takes progress lines.

    Raises:
        InvalidInput: a number is out of range; nothing was written.
    """
    for name, value, low, high in (
        ("users", users, 1, 20_000_000),
        ("days", days, 1, 365),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not low <= value <= high:
            raise InvalidInput(f"--{name} {value} is not between {low} and {high}")
    world = World(seed, users, anchor_day)
    window = [day_name(day) for day in range(anchor_day - days + 1, anchor_day + 1)]
    leaves: list[Leaf] = [(name, ds) for name in ("user_events", "push_history") for ds in window]
    # Profiles last: a reader who sees them sees the rest.
    leaves += [(name, window[-1]) for name in reversed(SNAPSHOTS)]
    # All attempts stay open until every block has written, so a world is published whole or not at all.
    with ExitStack() as stack:
        attempts: dict[Leaf, Attempt] = {
            leaf: stack.enter_context(lake.attempt(leaf[0], ds=leaf[1])) for leaf in leaves
        }
        place = Place(
            url, lake.branch, endpoint, {leaf: attempt.folder for leaf, attempt in attempts.items()}
        )
        blocks: list[Written] = run_blocks(
            write_block, n_blocks(users), (world, days, place), processes, note
        )
        for block in blocks:
            # Blocks come in order, so the commit's files do not depend on which process was faster.
            for leaf, entry in block.entries:
                attempts[leaf].add(FileEntry.from_json(entry))
        note("world: publishing")
        params = {"seed": seed, "users": users, "days": days, "parameters_sha256": parameters_sha256()}
        commits = {
            leaf: publish_once(
                lake, attempt, params=params, meta=world.meta() if leaf[0] in SNAPSHOTS else None
            )
            for leaf, attempt in attempts.items()
        }
    n_pushes, n_opens = sum(block.n_pushes for block in blocks), sum(block.n_opens for block in blocks)
    rows = {
        name: sum(commit.rows for leaf, commit in commits.items() if leaf[0] == name)
        for name in dict.fromkeys(leaf[0] for leaf in leaves)
    }
    return {
        "users": users,
        "days": [window[0], window[-1]],
        "seed": seed,
        "rows": rows,
        "events_per_user_day": round(rows["user_events"] / users / days, 3),
        "pushes_per_user_day": round(n_pushes / users / days, 3),
        "open_rate": round(n_opens / n_pushes, 4) if n_pushes else None,
    }
