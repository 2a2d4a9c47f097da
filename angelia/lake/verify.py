"""Compare every commit with its bytes, its contract and what it cites.

Reads all bytes of what it checks; writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from angelia.contracts import CONTRACTS, dataset
from angelia.errors import AngeliaError, Corrupt
from angelia.lake.attempt import check_schema, footer
from angelia.lake.commit import Commit, FileEntry
from angelia.lake.keys import damaged_keys
from angelia.lake.lake import Lake

VERIFY_THREADS = 4


@dataclass(frozen=True)
class Damage:
    """One difference between a commit and what it names."""

    commit: str
    path: str
    problem: str


@dataclass
class Integrity:
    """What was checked, and the damage."""

    commits: int
    files: int
    bytes: int
    expired: int
    problems: list[Damage]


def verify(
    lake: Lake,
    name: str | None = None,
    ds: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Integrity:
    """Check the commits of this lake's branch: of one dataset or all, of one day or all.

    Where neither is named, the lake's keys are checked, too.

    Each file must exist with equal size and sha256, and a readable footer with the rows and columns promised.
    Each commit's inputs must exist with the content that was cited. Expired commits are only counted: their
    files were deleted on purpose.

    Raises:
        NotFound: no dataset has this name.
    """
    verdict = Integrity(0, 0, 0, 0, [])
    checked: set[tuple[str, str]] = set()  # chains list the same files again and again
    cited: dict[str, str | None] = {}
    for dataset_name in [dataset(name).name] if name else CONTRACTS:
        contract = dataset(dataset_name)
        if ds and "ds" not in contract.partition:
            continue
        began = verdict.commits
        for leaf in lake.leaves(lake.branch, dataset_name, {"ds": ds} if ds else {}):
            live = lake.numbers(lake.branch, dataset_name, leaf)
            verdict.expired += len(lake.numbers(lake.branch, dataset_name, leaf, expired=True)) - len(live)
            for number in live:
                verdict.commits += 1
                try:
                    commit = lake.load(lake.branch, dataset_name, leaf, number)
                except AngeliaError as error:
                    where = "/".join(f"{key}={value}" for key, value in leaf.items())
                    verdict.problems.append(Damage(f"{dataset_name}/{where}@{number}", "", error.message))
                    continue
                # A damaged citation and damaged files are separate findings, so both are always checked.
                verdict.problems += _citations(lake, commit, cited)
                fresh = [entry for entry in commit.files if (entry.path, entry.sha256) not in checked]
                checked |= {(entry.path, entry.sha256) for entry in fresh}
                verdict.files += len(fresh)
                verdict.bytes += sum(entry.bytes for entry in fresh)
                verdict.problems += _files(lake, commit, fresh)
        if verdict.commits > began:
            progress(
                f"{dataset_name}: {verdict.commits - began} commits, {len(verdict.problems)} problems so far"
            )
    if name is None and ds is None:
        verdict.problems += [Damage("", key, problem) for key, problem in damaged_keys(lake.store)]
    return verdict


def _files(lake: Lake, commit: Commit, entries: list[FileEntry]) -> Iterator[Damage]:
    current = commit.contract_version == dataset(commit.dataset).version

    def look(entry: FileEntry) -> str | None:
        try:
            lake.check_bytes(entry)
            metadata = footer(lake.store, entry)
            if current:  # files of an older contract are as that one wanted them
                check_schema(commit.dataset, entry, metadata)
        except Corrupt as error:
            return error.message.removeprefix(f"{entry.path}: ")
        except AngeliaError as error:
            return error.message
        return None

    with ThreadPoolExecutor(VERIFY_THREADS) as pool:
        for entry, problem in zip(entries, pool.map(look, entries), strict=True):
            if problem:
                yield Damage(commit.ref, entry.path, problem)


def _citations(lake: Lake, commit: Commit, known: dict[str, str | None]) -> Iterator[Damage]:
    for citation in commit.inputs:
        if citation not in known:
            try:
                lake.cited(citation)
                known[citation] = None
            except AngeliaError as error:
                known[citation] = error.message
        problem = known[citation]
        if problem:
            yield Damage(commit.ref, "", f"cites {citation}: {problem}")
