"""The index against a plain dictionary; a damaged file is not believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.receive.finding import runs
from angelia.receive.finding.runs import Runs, prefixes


def keys(*numbers: int) -> runs.U64:
    return np.array(numbers, np.uint64)


def places_of(index: Runs, *numbers: int) -> dict[int, set[str]]:
    answer: dict[int, set[str]] = {number: set() for number in numbers}
    for place, positions in index.find(keys(*numbers)).items():
        for position in positions:
            answer[numbers[position]].add(place)
    return answer


def test_a_prefix_is_the_first_sixteen_digits_as_a_number() -> None:
    ids = pa.array(["x" * 7, "0123456789abcdef" + "f" * 16, "f" * 32], pa.string()).slice(1)
    assert prefixes(ids).tolist() == [0x0123456789ABCDEF, 2**64 - 1]
    assert prefixes(pa.array([], pa.string())).tolist() == []
    for wrong in (["a" * 31, "a" * 33], ["G" * 32], ["a" * 32, None]):
        with pytest.raises(ValueError, match="hex digits"):
            prefixes(pa.array(wrong, pa.string()))


def test_what_was_added_is_found_in_all_its_places(tmp_path: Path) -> None:
    drawn = np.random.default_rng(1)
    expected: dict[int, set[str]] = {}
    index = Runs(tmp_path / "index")
    for place in map(str, range(40)):
        added = drawn.integers(1, 300, size=drawn.integers(0, 30)).tolist()
        index.add({place: keys(*added)})
        for number in added:
            expected.setdefault(number, set()).add(place)
    asked = range(301)
    for either in (index, Runs(tmp_path / "index")):
        assert either.places == set(map(str, range(40)))
        assert places_of(either, *asked) == {number: expected.get(number, set()) for number in asked}
    # Sizes at least double from run to run, so few files are left of forty.
    assert len(list((tmp_path / "index").iterdir())) <= 8


def test_a_full_run_is_not_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_ROWS", 4)
    index = Runs(tmp_path)
    for number in range(4):
        index.add({str(number): keys(number, number + 10)})
    assert sorted(path.name[:10] for path in tmp_path.iterdir()) == ["0000000004"] * 2


def test_a_damaged_run_is_deleted_and_its_places_unknown(tmp_path: Path) -> None:
    Runs(tmp_path).add({"a": keys(1, 2, 3)})
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    at = bytes(data).index(keys(1, 2, 3).tobytes())
    data[at + 8] ^= 4
    path.write_bytes(bytes(data))
    assert Runs(tmp_path).places == set()
    path.write_bytes(b"")
    assert Runs(tmp_path).places == set()
    assert list(tmp_path.iterdir()) == []


def test_halves_that_a_killed_merge_left_are_dropped(tmp_path: Path) -> None:
    index = Runs(tmp_path)
    index.add({"a": keys(1)})
    (half,) = tmp_path.iterdir()
    data = half.read_bytes()
    index.add({"b": keys(2)})
    half.write_bytes(data)  # as if the process had died before it deleted it
    assert places_of(Runs(tmp_path), 1, 2) == {1: {"a"}, 2: {"b"}}
    assert len(list(tmp_path.iterdir())) == 1
