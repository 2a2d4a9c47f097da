"""Pains of other tools that audiences must not cause.

Segmentation collapses at 1.5 to 10 million contacts.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from angelia.audience.bitmaps.bitmaps import EVERYONE
from angelia.audience.bitmaps.blobs import BitmapRow, write_rows
from angelia.audience.bitmaps.sets import of_flags
from angelia.audience.members import block_members
from angelia.audience.query import AudienceQuery
from angelia.lake import Lake

DS = "2026-11-14"
N = 2_000_000
SHARD_BITS, BLOCK_BITS = 16, 18
IDS_BYTES = 4 * N  # what a list of ordinals would take, before any id or row


@pytest.fixture(scope="module")
def contacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, np.ndarray]]:
    """Index two million people with three tags (many, some, few) and an age.

    Returns the same facts as plain arrays.
    """
    rng = np.random.default_rng(10)
    facts = {
        "many": rng.random(N) < 0.5,
        "some": rng.random(N) < 0.03,
        "few": rng.random(N) < 1e-4,
        "age": rng.integers(0, 128, N),
    }
    lake = Lake.open(str(tmp_path_factory.mktemp("contacts") / "lake"))
    width = 1 << BLOCK_BITS
    with lake.attempt("bitmap_index", ds=DS) as attempt:
        for block in range(-(-N // width)):
            here = slice(block * width, min(N, (block + 1) * width))

            def flags(values: np.ndarray) -> np.ndarray:
                padded = np.zeros(width, bool)
                padded[: len(values)] = values
                return padded

            age = facts["age"][here]
            rows = [BitmapRow(block, EVERYONE, "known", of_flags(flags(np.ones(len(age), bool))))]
            rows += [
                BitmapRow(block, "tag", "value", of_flags(flags(facts[name][here])), name)
                for name in ("many", "some", "few")
            ]
            rows += [
                BitmapRow(
                    block, "age_years", "slice", of_flags(flags(age >> bit & 1 == 1)), bit=bit, offset=0
                )
                for bit in range(7)
            ]
            shards = (block << (BLOCK_BITS - SHARD_BITS), ((block + 1) << (BLOCK_BITS - SHARD_BITS)) - 1)
            attempt.add(
                write_rows(
                    lake, "bitmap_index", attempt.folder, rows, blocks=range(block, block + 1), shards=shards
                )
            )
        attempt.publish(
            meta={
                "shard_bits": SHARD_BITS,
                "block_bits": BLOCK_BITS,
                "n_ordinals": N,
                "n_users": N,
                "history_days": 28,
            }
        )
    return lake, facts


PREDICATES = {
    "tag = 'many' AND NOT tag = 'some'": lambda f: f["many"] & ~f["some"],
    "(tag = 'some' OR tag = 'few') AND age_years >= 37": lambda f: (f["some"] | f["few"]) & (f["age"] >= 37),
    "age_years < 100 AND NOT (tag = 'many' AND tag = 'few')": lambda f: (
        (f["age"] < 100) & ~(f["many"] & f["few"])
    ),
    "NOT tag = 'few'": lambda f: ~f["few"],
}


@pytest.mark.parametrize("predicate", PREDICATES)
@pytest.mark.pain(10)
def test_two_million_contacts_are_counted_as_bits(
    contacts: tuple[Lake, dict[str, np.ndarray]], predicate: str
) -> None:
    lake, facts = contacts
    audience = AudienceQuery(lake, DS)
    expected = PREDICATES[predicate](facts)
    audience.count("tag = 'few'")  # imports and caches are not what is measured
    tracemalloc.start()
    try:
        counted = audience.measure(predicate)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted.count == int(expected.sum())
    assert counted.rows_read == 0, "no row of any person was read"
    assert peak < IDS_BYTES / 2, f"{peak:,} bytes for {N:,} contacts"


@pytest.mark.pain(10)
def test_a_member_takes_less_than_a_bit_a_contact(
    contacts: tuple[Lake, dict[str, np.ndarray]],
) -> None:
    lake, facts = contacts
    audience = AudienceQuery(lake, DS, {"half": "tag = 'many'"})
    tables = [block_members(audience, block) for block in range(audience.index.n_blocks)]
    kept = sum(len(blob) for table in tables for blob in table["bitmap"].to_pylist())
    assert sum(table["cardinality"].to_numpy().sum() for table in tables) == facts["many"].sum()
    assert kept < 1.1 * N / 8
    shard = 3
    first = shard << SHARD_BITS
    assert np.array_equal(
        np.array(audience.members("tag = 'few'", shard)) - first,
        np.flatnonzero(facts["few"][first : first + (1 << SHARD_BITS)]),
    )
