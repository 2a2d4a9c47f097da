"""Say which commits a task wrote, and which commits those were made from.

Reads the lake; writes nothing. Surprise: a task that also rebuilds earlier days (`aggregate_days`) is
described by its own day alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from angelia.contracts import dataset
from angelia.contracts.core import CHAIN, LOG
from angelia.lake import Commit, Lake

Versions = dict[str, list[str]]


def commits_of(lake: Lake, names: Iterable[str], ds: str) -> tuple[Versions, Versions]:
    """Return what a task read and what it wrote: name in the lake -> versions, sorted.

    A name is `BRANCH/DATASET`, a version a commit of it, such as `ds=2026-11-14@7#0123456789abcdef`.

    Args:
        lake: on the branch that the task wrote.
        names: the datasets that the task wrote.
        ds: the day that it wrote them for.
    """
    written: Versions = {}
    read: Versions = {}
    for commit in (commit for name in names for commit in _newest(lake, name, ds)):
        _add(written, commit.citation())
        for citation in commit.inputs:
            _add(read, citation)
    return read, written


def _newest(lake: Lake, name: str, ds: str) -> list[Commit]:
    key = dataset(name).partition[0]
    if key == "chain":
        leaves = [{"chain": CHAIN}]
    elif key == "log":
        leaves = [{"log": LOG}]
    else:
        leaves = lake.partitions(name, ds=ds)
    heads = (lake.head(name, **leaf) for leaf in leaves)
    return [commit for commit in heads if commit is not None]


def _add(versions: Versions, citation: str) -> None:
    """Add a citation: `user_events/ds=2026-11-14@7#…`, after `BRANCH:` off main."""
    branch, _, rest = citation.rpartition(":")
    name, _, version = rest.partition("/")
    listed = versions.setdefault(f"{branch or 'main'}/{name}", [])
    if version not in listed:
        listed.append(version)
        listed.sort()
