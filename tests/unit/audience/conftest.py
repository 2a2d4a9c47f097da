"""A small population with its index in the settings' lake, for the commands.

Five hundred people, and a catalog with two audiences and a holdout.
"""

from __future__ import annotations

import copy
import importlib.util
import random
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake

Person = dict[str, object]
DS = "2026-11-14"
POLICY = (
    '{"kind":"policy","id":"default","holdout":{"share_pct":20.0,"salt":"s"},"salt":"x",'
    '"explore":{"slot_share_pct":5.0,"epsilon":0.1}}'
)


def _world_module() -> ModuleType:
    # The spec's population maker; test folders are no packages, so it is loaded by its path.
    path = Path(__file__).parents[2] / "spec" / "audience_world.py"
    spec = importlib.util.spec_from_file_location("audience_world", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audience_world"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spec_world() -> ModuleType:
    """Return the maker of populations."""
    return _world_module()


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, ModuleType]:
    """Return a lake of 40 people in three blocks and its maker; do not write to it.

    Person i is i years old, every fourth of unknown age; even ones are women, every fifth is suppressed.
    Person i did i % 3 views today, and those below 10 bought three days ago.
    """
    w, lake = _world_module(), Lake.open(str(tmp_path_factory.mktemp("audience") / "lake"))
    people = [
        w.person(
            i,
            age_years=None if i % 4 == 3 else i,
            gender="m" if i % 2 else "f",
            tags=["spa"] if i == 7 else [],
            value_28d=i / 2,
            channels=["fcm", "email"] if i < 20 else [],
            is_suppressed=i % 5 == 0,
            opted_out_topics=["promo"] if i == 8 else [],
            days_since_signup=i,
        )
        for i in range(40)
    ]
    days = [w.did(i, 0, "view", "camera", n=i % 3) for i in range(40) if i % 3]
    days += [w.did(i, 3, "purchase", None, value=2.5) for i in range(10)]
    pushes = [w.pushed(i, 1, "sale") for i in range(6)] + [w.pushed(2, 1, "sale", "opened")]
    world = w.World(people, days, pushes, lists={"vip": {1, 17, 33}})
    w.write_index(lake, world)
    return lake, w


@pytest.fixture
def people(settings_home: Path, lake: Lake, indexed: tuple[Path, list[Person]]) -> list[Person]:
    """Put the index into the settings' lake, and return its people."""
    folder, rows = indexed
    shutil.copytree(folder, settings_home / "lake", dirs_exist_ok=True)
    return copy.deepcopy(rows)


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Person]]:
    """Return a lake's folder with the index, and its people: copy both.

    Every fifth is suppressed, every third has no address.
    """
    w, folder = _world_module(), tmp_path_factory.mktemp("people") / "lake"
    lake = Lake.open(str(folder))
    rng = random.Random(5)
    rows = [
        w.person(
            ordinal,
            gender=rng.choice(["f", "m", None]),
            age_years=rng.choice([None, 18, 30, 64]),
            province=rng.choice(["guangdong", "fujian"]),
            tags=rng.choice([None, [], ["sport"], ["sport", "spa"]]),
            channels=[] if ordinal % 3 == 0 else ["fcm"],
            is_suppressed=ordinal % 5 == 0,
            opted_out_topics=["promo"] if ordinal % 7 == 0 else [],
        )
        for ordinal in range(500)
    ]
    days = [w.did(ordinal, back, "open") for ordinal in range(0, 500, 2) for back in (1, 4)]
    days += [w.did(ordinal, 0, "purchase", None, 1, 12.5) for ordinal in range(0, 500, 10)]
    pushes = [w.pushed(ordinal, 1, "sale") for ordinal in range(0, 500, 4)]
    w.write_index(lake, w.World(rows, days, pushes), shard_bits=5, block_bits=7)
    bodies = [
        ("policy", "default", POLICY),
        (
            "audience",
            "women",
            '{"kind":"audience","id":"women","description":"","predicate":"gender = \'f\'"}',
        ),
        (
            "audience",
            "active_women",
            '{"kind":"audience","id":"active_women","description":"",'
            "\"predicate\":\"in_audience('women') AND days_since('open') <= 2\"}",
        ),
    ]
    rows_ = [{"kind": kind, "id": name, "version": 1, "body": body} for kind, name, body in bodies]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(rows_, schema=arrow.schema(dataset("catalog_snapshot"))), "documents.parquet"
        )
        attempt.publish()
    return folder, rows
