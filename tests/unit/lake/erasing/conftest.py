"""A lake in which every dataset that names people is filled, and functions to search it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.lake.store import LocalStore, Store
from angelia.users.index import append_users

DAYS = ("2026-11-13", "2026-11-14")
PERSONAL = ("user_id", "external_id", "address", "fields", "title", "body", "link")
LAYOUT = {"send_hour": "2026-11-15T04", "channel": "fcm", "priority": "high"}


def fill(store: Store) -> Lake:
    """Write every dataset that names people.

    Two days, a superseded commit, a replay, a log, and a chain of two files.
    """
    lake = Lake(store)
    for name, contract in sorted(CONTRACTS.items()):
        if "user_id" not in contract or contract.partition[0] != "ds":
            continue
        for branch in ("main", "replay-7"):
            for ds in DAYS if branch == "main" else DAYS[:1]:
                for seed in (1, 2) if ds == DAYS[0] else (1,):
                    leaf = {"ds": ds, "source": "fcm", "part": "p1", "send_hour": "2026-11-15T04"}
                    leaf["accept_hour"] = f"{ds}T04"
                    with Lake(store, branch).attempt(
                        name, **{key: leaf[key] for key in contract.partition}
                    ) as attempt:
                        rows = valid_rows(name, 200, seed=seed, ds=ds)
                        for part, half in enumerate((rows.slice(0, 100), rows.slice(100))):
                            folder = (
                                "/".join(f"{key}={value}" for key, value in LAYOUT.items()) + "/"
                                if "send_hour" in contract.layout
                                else ""
                            )
                            attempt.write(
                                half, f"{folder}part-{part:04d}.parquet", keys=LAYOUT if folder else None
                            )
                        attempt.publish()
    append_users(lake, pa.table({"user_id": [f"u{i:07d}" for i in range(100)]}), seen=None, shard_bits=4)
    append_users(
        lake,
        pa.table({"user_id": [f"u{i:07d}" for i in range(100, 200)]}),
        seen=lake.head("user_index", chain="0"),
        shard_bits=4,
    )
    lake.append_log("suppressions", valid_rows("suppressions", 20))
    return lake


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a filled lake's folder, made once and copied by each test."""
    folder = tmp_path_factory.mktemp("filled")
    fill(LocalStore(folder))
    return folder


def copied(template: Path, store: Store) -> Lake:
    if isinstance(store, LocalStore):
        shutil.copytree(template, store.root)
    else:
        source = LocalStore(template)
        for key in source.list(""):  # fewer of them: each request takes its time
            if not re.search("/(decisions|user_features|user_events|push_history|delivery_ledger)/", key):
                store.put(key, source.read(key))
    return Lake(store)


@pytest.fixture
def filled(template: Path, tmp_path: Path) -> Lake:
    return copied(template, LocalStore(tmp_path / "angelia home" / "lake"))


def addresses(lake: Lake, user: str) -> set[str]:
    theirs = set()
    for name in ("user_endpoints", "dispatch_manifest"):
        for ds in DAYS:
            table = lake.read(lake.require(name, ds=ds), ["user_id", "address"]).to_pylist()
            theirs |= {row["address"] for row in table if row["user_id"] == user}
    assert theirs
    return theirs


def all_bytes(store: Store) -> dict[str, bytes]:
    """Return every object as it lies there, and beside it what its compressed parts hold."""
    objects = {key: store.read(key) for key in store.list("")}
    if isinstance(store, LocalStore):
        objects |= {str(path): path.read_bytes() for path in store.root.rglob(".tmp/*")}
    for key, data in list(objects.items()):
        if data[:4] == b"PAR1":
            objects[f"{key} (unpacked)"] = repr(pq.read_table(pa.BufferReader(data)).to_pydict()).encode()
        elif data[:6] == b"ARROW1":
            objects[f"{key} (unpacked)"] = repr(
                pa.ipc.open_file(pa.BufferReader(data)).read_all().to_pydict()
            ).encode()
    return objects


def traces(place: Store | dict[str, bytes], *texts: str) -> list[str]:
    """Return the keys of all objects that hold one of these texts, in bytes or in name.

    Args:
        place: a store, or its `all_bytes`, for several searches of one state: on S3 each read is a request.
        texts: what is searched for.
    """
    return [
        key
        for key, data in (place if isinstance(place, dict) else all_bytes(place)).items()
        if any(text.encode() in data or text in key for text in texts)
    ]


def commits(store: Store) -> list[Commit]:
    return [
        Commit.from_bytes(store.read(key))
        for key in store.list("")
        if re.search(r"/_commits/\d+\.json$", key)
    ]


def rest(lake: Lake) -> dict[str, pa.Table]:
    """Return every commit's rows without what is personal: all that a count can be made from."""
    tables = {
        commit.ref: lake.read(commit) for commit in commits(lake.store) if commit.dataset != "suppressions"
    }
    return {
        ref: table.drop_columns([name for name in table.column_names if name in PERSONAL])
        for ref, table in tables.items()
    }


@pytest.fixture
def look() -> SimpleNamespace:
    """Return the functions that search a lake for what is left of a person."""
    return SimpleNamespace(
        addresses=addresses,
        all_bytes=all_bytes,
        commits=commits,
        copied=copied,
        fill=fill,
        rest=rest,
        traces=traces,
    )
