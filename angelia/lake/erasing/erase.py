"""Erase people: their id and addresses leave every file of every branch.

Their actions stay, under a number that nobody owns any more. Reads all commits of all branches; rewrites the
files that hold the person (rows keep their place, because ledgers point at rows), replaces those entries in
the commit files and marks these `erased`, then deletes the old bytes. Appends to `suppressions`; writes
`erasing/…` while it works and `erasures/{tombstone}` for good, which records when, but not who. A person
becomes a tombstone, one random id in all files: joins give the same counts as before, and the ordinal stays
taken. If the process is killed at any moment, the same call completes it. Surprise: a person whom the sources
deliver again is a new person here; erase them there first.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa

from angelia.contracts import CONTRACTS, arrow, dataset
from angelia.contracts.core import LOG
from angelia.errors import Conflict, InvalidInput, NotFound
from angelia.lake import cache
from angelia.lake.attempt import Attempt, write_file
from angelia.lake.commit import Commit, FileEntry
from angelia.lake.erasing.journal import ErasedPerson, ErasureJournal
from angelia.lake.erasing.rows import USER, file_holds, holds, rows_of, users_of, without
from angelia.lake.expire import ORPHAN_AGE, attempts
from angelia.lake.failpoint import failpoint
from angelia.lake.lake import BRANCH, MAIN, Lake

# The last pass that changes something is followed by one that changes nothing; more passes mean that a job
# keeps writing these people.
PASSES = 4


class Elsewhere(Protocol):
    """People who are named outside the lake, and are erased with it."""

    def holds(self, users: set[str]) -> set[str]:
        """Return those of these people who are named there."""

    def erase(self, tombstones: Mapping[str, str]) -> dict[str, int]:
        """Put tombstones in people's places, however often; return how many rows changed, by table."""


@dataclass
class Erased:
    """What was done, without any person's id."""

    people: int
    resumed: int
    commits: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    files_rewritten: int = 0
    files_deleted: int = 0
    bytes_deleted: int = 0
    tombstones: list[str] = field(default_factory=list)


def erase(
    lake: Lake,
    users: Sequence[str],
    progress: Callable[[str], None] = lambda _: None,
    takeover: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Erased:
    """Erase these people, or complete an erasure of them that was begun.

    Returns once a last pass over the whole lake has met nothing of them.

    Args:
        takeover: continue the erasure of a process on another machine that is known to be dead.
        elsewhere: what names people beside the lake.

    Raises:
        NotFound: one of them is nowhere in the lake, nor elsewhere; nothing was written.
        InvalidInput: no user, an empty id, or a replay branch.
        Conflict: another erasure is under way, or a job is writing files that hold them: run it again when
            that ended.
        Corrupt: a commit or a file cannot be read; run it again once it is repaired.
    """
    if lake.branch != MAIN:
        raise InvalidInput("people are erased from all branches at once", fix="unset ANGELIA_BRANCH")
    names = list(dict.fromkeys(users))
    if not names or any(not name.strip() or len(name) > 4096 for name in names):
        raise InvalidInput("no user to erase, or an empty id")
    journal = ErasureJournal(lake.store, lake.clock)
    with journal.alone(takeover):
        begun = {name: person for name in names if (person := journal.find(name))}
        # People of a begun erasure may be in no index any more, so only the others are looked up.
        missing = [name for name in names if name not in begun]
        if missing:
            progress("looking for them")
            present = elsewhere.holds(set(missing)) if elsewhere is not None else set()
            present |= _present(lake, set(missing) - present)
            unknown = [
                position for position, name in enumerate(names, 1) if name in missing and name not in present
            ]
            if unknown:
                which = (
                    "this person is"
                    if len(names) == 1
                    else f"{len(unknown)} of {len(names)} (number {', '.join(map(str, unknown[:10]))}) are"
                )
                raise NotFound(
                    f"{which} nowhere in the lake, or erased already; nothing was written",
                    fix="check the id, as the sources write it",
                )
        people = {name: begun.get(name) or journal.begin(name) for name in names}
        result = Erased(
            len(names), len(begun), tombstones=sorted(person.tombstone for person in people.values())
        )
        _suppress(lake, journal, people)
        failpoint("erase.suppressed")
        if elsewhere is not None:
            # Before the passes: what is sealed meanwhile stands in the lake by the time they look.
            progress("erasing them elsewhere")
            result.rows |= elsewhere.erase({name: person.tombstone for name, person in people.items()})
        _all_passes(lake, journal, people, result, progress)
        # Crashed writers' temporary files may hold the id, too; an hour is more than any write takes.
        lake.store.sweep(lake.clock() - ORPHAN_AGE / 24)
        journal.end(people)
    return result


def _all_passes(
    lake: Lake,
    journal: ErasureJournal,
    people: Mapping[str, ErasedPerson],
    result: Erased,
    progress: Callable[[str], None],
) -> None:
    for number in range(1, PASSES + 1):
        commits, files = len(result.commits), result.files_deleted
        _finish_drops(lake, journal, result)
        under_way: list[str] = []
        for on_branch, name, leaf in _leaves(lake):
            _erase_leaf(on_branch, name, leaf, journal, people, result, under_way)
        # A pass that changes nothing has met nobody: that is the proof, unless an open attempt holds them.
        if (len(result.commits), result.files_deleted) == (commits, files):
            if under_way:
                raise Conflict(
                    (
                        f"all commits are clean, but {len(under_way)} unfinished attempts hold them "
                        f"still (the first in {under_way[0]})"
                    ),
                    fix=(
                        "run the same command again when the job that writes there has ended, or a "
                        "day after it died"
                    ),
                )
            return
        progress(
            f"pass {number}: {len(result.commits) - commits} commits rewritten, "
            f"{result.files_deleted - files} files deleted"
        )
    raise Conflict(
        "a job keeps writing them into new commits",
        fix="erase them at the source, then run the same command again",
    )


def _leaves(lake: Lake) -> Iterator[tuple[Lake, str, dict[str, str]]]:
    """Yield every leaf that can hold a person; suppressions come last.

    Otherwise a worker could read an id in a manifest whose suppression is already rewritten.
    """
    branches = [
        Lake(lake.store, branch, lake.clock)
        for branch in lake.store.children("")
        if re.fullmatch(BRANCH, branch)
    ]
    for name in sorted(CONTRACTS, key=lambda name: (name == "suppressions", name != "dispatch_manifest")):
        if USER in dataset(name):
            for on_branch in branches:
                for leaf in on_branch.leaves(on_branch.branch, name, {}, expired=True):
                    yield on_branch, name, leaf


def _present(lake: Lake, wanted: set[str]) -> set[str]:
    """Return those of `wanted` who are anywhere: in the index, else in any live commit."""
    people: set[str] = set()
    seen: set[str] = set()
    leaves = sorted(_leaves(lake), key=lambda item: item[1] != "user_index")
    for on_branch, name, leaf in leaves:
        for number in on_branch.numbers(on_branch.branch, name, leaf):
            for entry in on_branch.load(on_branch.branch, name, leaf, number).files:
                if people == wanted:
                    return people
                if entry.path not in seen:
                    seen.add(entry.path)
                    users = users_of(on_branch, entry)
                    people |= (
                        {users[row].as_py() for row in rows_of(users, wanted)} if users is not None else set()
                    )
    return people


def _suppress(lake: Lake, journal: ErasureJournal, people: Mapping[str, ErasedPerson]) -> None:
    """Suppress the ids, and the tombstones that will soon stand in pending manifests.

    Workers obey within ten seconds.
    """
    there = set(lake.read_log("suppressions")[USER].to_pylist())
    fresh = [name for name, person in people.items() if person.tombstone not in there]
    if not fresh:
        return
    ids = [*fresh, *(people[name].tombstone for name in fresh)]
    n, at = len(ids), lake.clock()
    columns = {
        "entry_id": [secrets.token_hex(8) for _ in ids],
        USER: ids,
        "channel": [None] * n,
        "address_hash": [None] * n,
        # Tombstones are suppressed since 1970: a night that is rerun for an earlier day must not plan for
        # them either.
        "since_ts": [*[at] * len(fresh), *[datetime(1970, 1, 1, tzinfo=UTC)] * len(fresh)],
        "reason": ["erased"] * n,
    }
    with lake.attempt("suppressions", log=LOG) as attempt:
        # The file names them: if we are killed before the commit, a rerun must know whose it was.
        journal.note_drops([f"{attempt.folder}/entries.parquet"])
        attempt.write(pa.table(columns, schema=arrow.schema(dataset("suppressions"))), "entries.parquet")
        attempt.publish(params={"entry": attempt.nonce})


def _erase_leaf(
    lake: Lake,
    name: str,
    leaf: dict[str, str],
    journal: ErasureJournal,
    people: Mapping[str, ErasedPerson],
    result: Erased,
    under_way: list[str],
) -> None:
    live = lake.numbers(lake.branch, name, leaf)
    commits = [lake.load(lake.branch, name, leaf, number) for number in live]
    entries = {entry.path: entry for commit in commits for entry in commit.files}
    holding = {path: entry for path, entry in entries.items() if holds(lake, entry, people)}
    if holding:
        _rewrite(lake, name, leaf, commits, holding, journal, people, result)
        _finish_drops(lake, journal, result)
        return  # what else is in this leaf is looked at in the next pass
    expired = {
        entry.path
        for number in lake.numbers(lake.branch, name, leaf, expired=True)
        if number not in live
        for entry in lake.load(lake.branch, name, leaf, number).files
    }
    # Files that crashed writers left are invisible to readers, but they exist.
    for folder, objects in attempts(lake, name, leaf).items():
        held = [
            item.key for item in objects if item.key not in entries and file_holds(lake, item.key, people)
        ]
        # A fresh attempt belongs to a job that may still publish it, so its files are not ours to delete.
        # Files that an expired commit named can no longer be published.
        is_fresh = max(item.modified for item in objects) > lake.clock() - ORPHAN_AGE
        if is_fresh and not expired.issuperset(held):
            under_way.append(folder)
        else:
            _delete(lake, held, result)


def _rewrite(
    lake: Lake,
    name: str,
    leaf: dict[str, str],
    commits: Sequence[Commit],
    holding: Mapping[str, FileEntry],
    journal: ErasureJournal,
    people: Mapping[str, ErasedPerson],
    result: Erased,
) -> None:
    """Write the leaf's files anew, then name them in the commits.

    The old files are noted first, so that a rerun knows what to delete.
    """
    folders: dict[str, str] = {}  # one new folder per old one: names are unique within an attempt only
    written: dict[str, FileEntry] = {}
    for path, entry in holding.items():
        old = path.removesuffix(f"/{entry.name}")
        folder = folders.setdefault(old, Attempt(lake, name, leaf).folder)
        table, n = without(lake.read_file(entry), name, people)
        fresh = write_file(
            lake.store, name, folder, table, entry.name, entry.shards, entry.keys, conform=entry.conforms
        )
        written[path] = replace(fresh, replaces=entry.identity)
        result.rows[name] = result.rows.get(name, 0) + n
        result.files_rewritten += 1
    lake.store.sync(entry.path for entry in written.values())
    # New bytes are durable before the old ones are noted, and those before any commit names the new.
    journal.note_drops(sorted(holding))
    failpoint("erase.before_commits")
    for commit in commits:
        if any(entry.path in written for entry in commit.files):
            files = sorted(
                (written.get(entry.path, entry) for entry in commit.files),
                key=lambda entry: (entry.name, entry.path),
            )
            lake.store.put(commit.key, replace(commit, files=tuple(files), erased=True).to_bytes())
            lake.store.sync([commit.key])
            result.commits.append(commit.ref)
            failpoint("erase.commit")
    cache.forget(entry.sha256 for entry in holding.values())


def _finish_drops(lake: Lake, journal: ErasureJournal, result: Erased) -> None:
    """Delete the noted files, except those that a commit still names: their leaf comes again."""
    for note, paths in journal.drops():
        named: set[str] = set()
        for folder in {path.partition("/attempt-")[0] for path in paths}:
            branch, name, *parts = folder.split("/")
            leaf = dict(part.split("=", 1) for part in parts)
            for number in lake.numbers(branch, name, leaf):
                named |= {entry.path for entry in lake.load(branch, name, leaf, number).files}
        _delete(lake, [path for path in paths if path not in named], result)
        lake.store.delete(note)
        failpoint("erase.dropped")


def _delete(lake: Lake, paths: Sequence[str], result: Erased) -> None:
    for path in paths:
        try:
            result.bytes_deleted += lake.store.size(path)
        except NotFound:
            continue
        lake.store.delete(path)
        result.files_deleted += 1
