"""Sets: whatever their form, operations agree with plain flags, one a position."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from angelia.audience.bitmaps.sets import (
    Dense,
    Set,
    bitmap_of,
    exclusive,
    intersect,
    of_flags,
    of_positions,
    ordinals_of,
    positions_of,
    to_bitmap,
    to_dense,
    union,
)

WIDTH = 1 << 18


def members(kind: str, seed: int) -> np.ndarray:
    """Return positions below WIDTH: none, few, many, or in runs; at times with the edges."""
    rng = np.random.default_rng(seed)
    flags = np.zeros(WIDTH, dtype=bool)
    if kind == "everyone":
        flags[: WIDTH - int(rng.integers(0, 70))] = True
    elif kind == "runs":
        for start in rng.integers(0, WIDTH, 20):
            flags[start : start + int(rng.integers(1, 40_000))] = True
    else:
        flags |= rng.random(WIDTH) < {"none": 0.0, "few": 1e-4, "some": 0.03, "many": 0.3}[kind]
        flags[[0, WIDTH - 1]] = rng.random(2) < (0.5 if kind != "none" else 0.0)
    return np.flatnonzero(flags)


KINDS = ["none", "few", "some", "many", "runs", "everyone"]
OPERANDS = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 3),
    st.sampled_from(["packed", "roaring", "run_optimized", "suited"]),
)


@functools.cache
def build(operand: tuple[str, int, str]) -> tuple[Set, np.ndarray]:
    """Return a set in a form, and its flags.

    Python's own sets of a quarter million would take most of this file's time.
    """
    kind, seed, form = operand
    positions = members(kind, seed)
    flags = np.zeros(WIDTH, dtype=bool)
    flags[positions] = True
    if form == "suited":
        return of_positions(positions, WIDTH), flags
    bitmap = bitmap_of(positions)
    if form == "run_optimized":
        bitmap.run_optimize()
    return (to_dense(bitmap, WIDTH) if form == "packed" else bitmap), flags


def holds(members: Set, flags: np.ndarray) -> bool:
    """Say whether a set has exactly the flagged positions, each once, in order."""
    return np.array_equal(positions_of(members), np.flatnonzero(flags))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(plus=st.lists(OPERANDS, min_size=1, max_size=3), minus=st.lists(OPERANDS, max_size=3))
def test_operations_agree_with_flags(
    plus: list[tuple[str, int, str]], minus: list[tuple[str, int, str]]
) -> None:
    ours, theirs = zip(*map(build, plus), strict=True)
    away, gone = zip(*map(build, minus), strict=True) if minus else ((), ())
    everyone, flags = [*ours, *away], [*theirs, *gone]
    before = [positions_of(one).copy() for one in everyone]
    taken_away = np.logical_or.reduce(gone) if gone else np.zeros(WIDTH, dtype=bool)
    expected = np.logical_and.reduce(theirs) & ~taken_away
    members = intersect(list(ours), list(away), WIDTH)
    assert holds(members, expected)
    assert len(members) == int(expected.sum())
    assert holds(union(everyone, WIDTH), np.logical_or.reduce(flags))
    assert holds(exclusive(everyone[0], everyone[-1], WIDTH), flags[0] ^ flags[-1])
    assert all(map(np.array_equal, map(positions_of, everyone), before))  # no operand was changed


@pytest.mark.parametrize("form", ["packed", "roaring", "run_optimized"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_forms(kind: str, form: str) -> None:
    a, left = build((kind, 1, form))
    for other in KINDS:
        for other_form in ("packed", "roaring", "run_optimized"):
            b, right = build((other, 2, other_form))
            assert holds(intersect([a], [b], WIDTH), left & ~right), (other, other_form)
            assert holds(intersect([a, b], [], WIDTH), left & right), (other, other_form)
            assert holds(union([a, b], WIDTH), left | right), (other, other_form)


@pytest.mark.parametrize("kind", KINDS)
def test_forms_there_and_back(kind: str) -> None:
    positions = members(kind, 1)
    packed = to_dense(bitmap_of(positions), WIDTH)
    assert ordinals_of(to_bitmap(packed)).tolist() == positions.tolist()
    optimized = bitmap_of(positions)
    optimized.run_optimize()
    assert (to_dense(optimized, WIDTH).bits == packed.bits).all()
    assert len(packed) == len(positions)


def test_a_set_is_held_in_the_shorter_form() -> None:
    assert isinstance(of_positions(members("many", 1), WIDTH), Dense)
    assert isinstance(of_positions(members("few", 1), WIDTH), BitMap)
    assert isinstance(of_positions(members("runs", 1), WIDTH), BitMap)
    clustered = of_flags(np.arange(WIDTH) % 65_536 < 30_000)
    assert isinstance(clustered, BitMap)
    assert len(clustered.serialize()) < 200


@pytest.mark.parametrize("width", [1, 8, 64, 128, 1 << 14])
def test_narrow_blocks(width: int) -> None:
    positions = np.arange(width)
    for members in (of_positions(positions, width), to_dense(bitmap_of(positions), width)):
        assert positions_of(members).tolist() == positions.tolist()
        assert ordinals_of(to_bitmap(members)).tolist() == positions.tolist()
