"""A family is a file's parts: the whole file first, then what follows it up."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.manifest.families import Families, families, families_of
from angelia.errors import Corrupt
from tests.unit.delivery.given import DS


def hour(bench: Any) -> list[parts.Part]:
    """Return the parts of a plan of two files, the first with two follow-ups."""
    sample_plan.make(bench.lake, DS, 30, part_rows=20)
    root = bench.parts()[0]
    parts.follow_up(bench.lake, root, [1, 2], "deferred", f"{root.id[:32]}.deferred")
    parts.follow_up(bench.lake, root, [2], "released", f"{root.id[:32]}.released-0002")
    return bench.parts()


def test_a_family_is_a_file_and_its_follow_ups(bench: Any) -> None:
    every = hour(bench)
    grouped = families_of(reversed(every))
    assert sorted(map(len, grouped.values())) == [1, 3]
    for identity, family in grouped.items():
        assert (family[0].rows, family[0].id) == (None, identity)
        assert {part.entry.identity for part in family} == {identity}


def test_a_plans_families_are_in_the_order_of_its_files(bench: Any) -> None:
    every = hour(bench)
    roots = [part.id for part in every if part.rows is None]
    assert [family[0].id for _, family in families(bench.lake, DS)] == roots


def test_a_damaged_follow_up_is_named_instead_of_left_out(bench: Any) -> None:
    hour(bench)
    (key, *_) = bench.lake.store.list(f"followups/{DS}")
    path = bench.lake.store.local_path(key)
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(Corrupt, match="followups"):
        families(bench.lake, DS)


def test_what_is_learnt_of_a_family_adds_up(bench: Any) -> None:
    every = hour(bench)
    known = Families()
    known.learn(every)
    root = next(part for part in every if part.rows is None)
    known.learn([root])  # an older listing, which a slower thread brings
    assert len(known.of(root)) == 3
    assert known.of(known.of(root)[2])[0].id == root.id
