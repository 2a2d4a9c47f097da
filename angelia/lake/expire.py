"""Free the space of old commits, of days beyond their retention, and of crashed writers.

An expired commit keeps its commit file (lineage, `lake log` and `lake show` go on working) and gets a marker
`00000007.expired` beside it; its files are deleted after the marker stands, so a reader never finds a commit
without files. Rerun after a crash: it ends the same. Never touched: the newest commit of a leaf within its
retention, entries of a log that no later one replaces, all that a pending plan cites within its retention,
however indirectly, and manifests of messages that may still be answered. Surprise: nights go on from each
other, so what an earlier one left is kept where it is cited, and not what that was made of: else a pending
plan would keep every night there ever was.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import zip_longest

from angelia.contracts import CONTRACTS, dataset
from angelia.contracts.sending import ANSWERED_DAYS, PLAN_LIFE_DAYS
from angelia.errors import NotFound
from angelia.lake import cache
from angelia.lake.commit import Commit, leaf_folder
from angelia.lake.lake import BRANCH, MAIN, Lake
from angelia.lake.store import StoredObject

PLANS = ("decisions", "dispatch_manifest", "dispatch_intake")
SENT = ("dispatch_manifest", "dispatch_fallover", "dispatch_intake")
PENDING_DAYS = PLAN_LIFE_DAYS + 1  # one to spare: a delivery may be at work when the last window closes
REPLACES = "replaces"  # in a log commit's meta: numbers of commits whose rows it holds, as far as they count
ORPHAN_AGE = timedelta(days=1)  # no writer works longer on one attempt without writing a file


@dataclass
class Expired:
    """What was removed, or would be."""

    commits: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    orphans: list[str] = field(default_factory=list)
    leftovers: int = 0
    kept_for_plans: int = 0


def expire(lake: Lake, older_than_days: int, dry_run: bool = False) -> Expired:
    """Expire on every branch (a replay's manifests hold addresses too), by the lake's clock.

    Args:
        older_than_days: commits expire when they were superseded longer ago than this.
        dry_run: only list; nothing is deleted.

    Raises:
        Corrupt: a commit file cannot be read, so the files it names are unknown; nothing of its leaf was
            deleted.
    """
    now = lake.clock()
    keep = _pending(Lake(lake.store, MAIN), now) | _answered(Lake(lake.store, MAIN), now)
    result = Expired(kept_for_plans=len(keep))
    for branch in lake.store.children(""):
        if not re.fullmatch(BRANCH, branch):
            continue  # seals, claims, ledger objects: not ours
        on_branch = Lake(lake.store, branch, lake.clock)
        for name in CONTRACTS:
            # Leaves without a live commit too: their attempt folders may hold orphans, and a crashed `expire`
            # may have left files.
            for leaf in on_branch.leaves(branch, name, {}, expired=True):
                _expire_leaf(on_branch, name, leaf, keep, now, older_than_days, dry_run, result)
    if not dry_run:
        result.leftovers = lake.store.sweep(now - ORPHAN_AGE)
        cache.trim()
    return result


def _expire_leaf(
    lake: Lake,
    name: str,
    leaf: dict[str, str],
    keep: set[str],
    now: datetime,
    older_than_days: int,
    dry_run: bool,
    result: Expired,
) -> None:
    numbers = lake.numbers(lake.branch, name, leaf)
    retention = dataset(name).retention_days
    is_past = (
        retention is not None
        and "ds" in leaf
        and date.fromisoformat(leaf["ds"]) < (now - timedelta(days=retention)).date()
    )
    commits = [lake.load(lake.branch, name, leaf, number) for number in numbers]
    replaced = _replaced(commits, now - timedelta(days=older_than_days)) if "log" in leaf else set[int]()
    live: list[Commit] = []
    for commit, successor in zip_longest(commits, commits[1:]):
        # Counted from the successor: a reader may have begun on this one just before.
        is_old = successor is not None and now - datetime.fromisoformat(successor.created_ts) > timedelta(
            days=older_than_days
        )
        # Of a log nothing is superseded unless a later commit says that it holds what still counts.
        is_over = commit.number in replaced if "log" in leaf else is_old
        # Retention is what people were promised, and no citation is a reason to break it.
        if not is_past and (commit.ref in keep or not is_over):
            live.append(commit)
            continue
        result.commits.append(commit.ref)
        if not dry_run:
            why = {
                "expired_ts": now.isoformat(timespec="seconds"),
                "reason": "retention" if is_past else "superseded",
            }
            lake.store.create(
                commit.key.removesuffix(".json") + ".expired", (json.dumps(why) + "\n").encode()
            )
    # A file that several commits name (chains) stays until none of them is live.
    named_by_live = {entry.path for commit in live for entry in commit.files}
    # Files of expired commits may go at once; files that no commit ever named may belong to a writer at work.
    ever_named = {
        entry.path
        for number in lake.numbers(lake.branch, name, leaf, expired=True)
        if number not in {commit.number for commit in live}
        for entry in lake.load(lake.branch, name, leaf, number).files
    }
    for folder, objects in attempts(lake, name, leaf).items():
        unnamed = [item for item in objects if item.key not in named_by_live]
        expired = [item for item in unnamed if item.key in ever_named]
        orphans = [item for item in unnamed if item.key not in ever_named]
        if orphans and max(item.modified for item in objects) > now - ORPHAN_AGE:
            orphans = []  # a writer may still be at work here
        result.files += len(expired) + len(orphans)
        result.bytes += sum(item.bytes for item in (*expired, *orphans))
        if orphans:
            result.orphans.append(folder)
        if not dry_run:
            _delete(lake, folder, objects, [*expired, *orphans])


def _replaced(log: Iterable[Commit], before: datetime) -> set[int]:
    """Return the numbers of a log's commits that one made before then says it replaces."""
    return {
        number
        for commit in log
        if datetime.fromisoformat(commit.created_ts) < before
        for number in commit.meta.get(REPLACES, ())
    }


def attempts(lake: Lake, name: str, leaf: dict[str, str]) -> dict[str, list[StoredObject]]:
    """Return the objects below each attempt folder of a leaf."""
    objects: dict[str, list[StoredObject]] = defaultdict(list)
    base = leaf_folder(lake.branch, name, leaf) + "/"
    for item in lake.store.stored(base.rstrip("/")):
        attempt = item.key[len(base) :].partition("/")[0]
        if attempt.startswith("attempt-"):
            objects[base + attempt].append(item)
    return objects


def _delete(lake: Lake, folder: str, objects: list[StoredObject], going: list[StoredObject]) -> None:
    if len(going) == len(objects):
        lake.store.delete_folder(folder)
        return
    for item in going:
        lake.store.delete(item.key)


def _pending(lake: Lake, now: datetime) -> set[str]:
    """Return the refs of the plans that may still be sent, and of all they cite, transitively."""
    first = (now - timedelta(days=PENDING_DAYS)).date()
    return _closure(lake, [commit for name in PLANS for commit in _since(lake, name, first)])


def _answered(lake: Lake, now: datetime) -> set[str]:
    """Return the refs of the manifests whose messages may still be answered.

    Callbacks are placed by them, whatever has been superseded.
    """
    first = (now - timedelta(days=ANSWERED_DAYS)).date()
    return {commit.ref for name in SENT for commit in _since(lake, name, first)}


def _since(lake: Lake, name: str, first: date) -> list[Commit]:
    """Return all commits of a dataset's days from `first` on.

    Every number counts, because a seal names one.
    """
    return [
        commit
        for leaf in lake.leaves(MAIN, name, {})
        if date.fromisoformat(leaf["ds"]) >= first
        for commit in lake.history(name, **leaf)
    ]


def _closure(lake: Lake, roots: Iterable[Commit]) -> set[str]:
    """Return the refs of plans and of all that they cite; earlier nights are not followed."""
    waiting = list(roots)
    kept, followed = {commit.ref for commit in waiting}, set[str]()
    while waiting:
        commit = waiting.pop()
        if commit.ref in followed:
            continue
        followed.add(commit.ref)
        for citation in commit.inputs:
            ref = citation.partition("#")[0]
            if ref in followed:
                continue
            try:
                cited = lake.cited(citation)
            except NotFound:
                continue  # `verify` reports it; there is nothing to keep
            kept.add(ref)
            # A record that goes on from the day before, and messages of a night before.
            if cited.dataset not in (commit.dataset, *PLANS):
                waiting.append(cited)
    return kept
