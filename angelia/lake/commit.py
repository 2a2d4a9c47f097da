"""A commit: what one leaf partition holds, what it was made from, and its hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from angelia.contracts import CONTRACTS
from angelia.errors import InvalidInput

MEND = "run `angelia lake verify`, then rerun the job that wrote it"  # what helps if bytes are damaged


@dataclass(frozen=True)
class FileEntry:
    """One file of a commit.

    `path` is relative to the lake root, `shards` an inclusive range, `keys` the layout keys of its path.
    `conforms` is False for files from the outside that were taken as they came: the gate judges their schema.
    `replaces` is set on a file that an erasure wrote: the sha256 of the file it replaces, row by row.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    shards: tuple[int, int] | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    conforms: bool = True
    replaces: str | None = None

    def to_json(self) -> str:
        """Return the entry as one line, to travel through a Spark column."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> FileEntry:
        """Return the entry that `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> FileEntry:
        """Return the entry of a parsed commit file."""
        shards = raw.get("shards")
        return cls(
            path=raw["path"],
            bytes=raw["bytes"],
            sha256=raw["sha256"],
            rows=raw["rows"],
            shards=(shards[0], shards[1]) if shards else None,
            keys=dict(raw.get("keys") or {}),
            conforms=raw.get("conforms", True),
            replaces=raw.get("replaces"),
        )

    @property
    def identity(self) -> str:
        """Sha256 that names these rows for good, whatever was erased in them; ledgers point at it."""
        return self.replaces or self.sha256

    @property
    def name(self) -> str:
        """File name within its attempt folder (`send_hour=…/part-0000.parquet`).

        A commit's files are ordered by it.
        """
        return self.path.partition("/attempt-")[2].partition("/")[2] or self.path


@dataclass(frozen=True)
class Commit:
    """One published state of a leaf partition.

    `inputs` are the refs (with content hash) it was made from; `content_sha256` covers files' hashes, inputs,
    parameters and code version, and so is equal for two runs that did the same thing.
    """

    branch: str
    dataset: str
    contract_version: int
    partition: Mapping[str, str]
    number: int
    files: tuple[FileEntry, ...]
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    rejects: Mapping[str, int]
    code_version: str
    created_ts: str
    nonce: str
    erased: bool = False

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(entry.rows for entry in self.files)

    @property
    def folder(self) -> str:
        """Folder of the leaf partition, relative to the lake root."""
        return leaf_folder(self.branch, self.dataset, self.partition)

    @property
    def key(self) -> str:
        """Key of the commit file in the store."""
        return f"{self.folder}/_commits/{self.number:08d}.json"

    def renumbered(self, number: int) -> Commit:
        """Return the same commit under another number."""
        return replace(self, number=number)

    @property
    def ref(self) -> str:
        """Short name: `user_events/ds=2026-11-14@7`, with a branch prefix off main."""
        leaf = "/".join(f"{key}={value}" for key, value in self.partition.items())
        prefix = "" if self.branch == "main" else f"{self.branch}:"
        return f"{prefix}{self.dataset}/{leaf}@{self.number}"

    @property
    def sha256(self) -> str:
        """Hash of the content: what was written, from what, by which code; not when."""
        what = {
            "dataset": self.dataset,
            "partition": dict(self.partition),
            "contract_version": self.contract_version,
            "files": sorted(
                json.dumps([entry.sha256, entry.rows, sorted(entry.keys.items()), entry.shards])
                for entry in self.files
            ),
            "inputs": sorted(self.inputs),
            "params": self.params,
            "meta": self.meta,
            "rejects": self.rejects,
            "code": self.code_version,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def made_by(self) -> str:
        """Hash of inputs, code version and parameters.

        Two racers with equal hashes may adopt each other's result.
        """
        what = {
            "inputs": sorted(self.inputs),
            "params": self.params,
            "code": self.code_version,
            "contract_version": self.contract_version,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def citation(self) -> str:
        """Return what another commit lists among its inputs: ref and content hash."""
        return f"{self.ref}#{self.sha256[:16]}"

    def to_bytes(self) -> bytes:
        """Return the commit file."""
        # Not sorted: the order of the partition's keys is the order of the folders.
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Commit:
        """Return the commit of a commit file.

        Raises:
            InvalidInput: a newer release wrote it, in a way that this one does not know.
        """
        raw = json.loads(data)
        contract, names = CONTRACTS.get(raw["dataset"]), {item.name for item in fields(cls)}
        known = (
            contract.version if contract else raw["contract_version"]
        )  # a damaged name is the caller's to find
        # A damaged field is one too many and one too few.
        has_more = set(raw) > names
        if raw["contract_version"] > known or has_more:
            what = (
                "fields" if has_more else f"version {raw['contract_version']} of its contract (here {known})"
            )
            raise InvalidInput(
                f"commit {raw['number']} of {raw['dataset']} has {what} that this release does not know",
                fix="use the release that wrote it, or a newer one, on every machine",
            )
        raw["files"] = tuple(FileEntry.from_dict(entry) for entry in raw["files"])
        raw["inputs"] = tuple(raw["inputs"])
        return cls(**raw)


def leaf_folder(branch: str, dataset: str, partition: Mapping[str, str]) -> str:
    """Return the folder of a leaf partition, relative to the lake root."""
    return "/".join([branch, dataset, *(f"{key}={value}" for key, value in partition.items())])


def plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `values` as JSON gives them back.

    So a commit's hash is the same before and after it was stored.
    """
    plain_values: dict[str, Any] = json.loads(
        json.dumps(
            dict(values or {}), default=lambda value: value.item() if hasattr(value, "item") else str(value)
        )
    )
    return plain_values


def in_shard(shard: int) -> Callable[[FileEntry], bool]:
    """Return the file filter that keeps the files which may hold a shard's rows."""
    return lambda entry: entry.shards is None or entry.shards[0] <= shard <= entry.shards[1]
