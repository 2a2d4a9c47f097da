"""A part is read in ranges: the rows asked for, in any order, and damage shows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from angelia.delivery.manifest import rows as module
from angelia.delivery.manifest import sample_plan
from angelia.delivery.manifest.rows import PartRows, columns_of, repeated_dispatches
from angelia.errors import Corrupt
from tests.unit.delivery.given import DS


@pytest.fixture
def entry(lake: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "_RANGE", 7)
    sample_plan.make(lake, DS, 100, changes={"dispatch_id": lambda n: f"{min(n, 90):032x}"})
    return lake.require("dispatch_manifest", ds=DS).files[0]


@pytest.mark.parametrize(
    "asked", [range(100), range(0, 7), range(5, 40), [0, 1, 50, 98, 99], [6, 7], [13], range(14, 14)]
)
def test_rows_asked_for(lake: Any, entry: Any, asked: Any) -> None:
    whole = lake.read_file(entry, ["ordinal", "address"])
    with PartRows(lake, entry, ["ordinal", "address"]) as source:
        assert len(asked) == 0 or source.read(asked).equals(whole.take(pa.array(list(asked))))


def test_ranges_in_any_order(lake: Any, entry: Any) -> None:
    whole = lake.read_file(entry, ["ordinal"])["ordinal"].to_pylist()
    with PartRows(lake, entry, ["ordinal"]) as source:
        for asked in (range(0, 10), range(30, 41), range(41, 42), range(8, 20), range(90, 100)):
            assert source.read(asked)["ordinal"].to_pylist() == [whole[i] for i in asked]


def test_columns_and_repeats(lake: Any, entry: Any) -> None:
    assert columns_of(lake, entry, ["address", "ordinal"]).equals(
        lake.read_file(entry, ["address", "ordinal"])
    )
    assert repeated_dispatches(lake, entry) == set(range(91, 100))


def test_rows_beyond_the_end_and_damage_are_corrupt(lake: Any, entry: Any) -> None:
    with PartRows(lake, entry, ["ordinal"]) as source, pytest.raises(Corrupt):
        source.read(range(90, 101))
    path = lake.store.local_path(entry.path)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100])
    with PartRows(lake, entry, ["ordinal"]) as source, pytest.raises(Corrupt):
        source.read(range(5))
    with pytest.raises(Corrupt):
        columns_of(lake, entry, ["ordinal"])
