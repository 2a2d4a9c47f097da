"""A plan has the same bytes whatever its shards and its processor."""

from benchmarks.identity import SHARD_BITS, sums
from benchmarks.measured.identity import arithmetic, plan


def test_an_old_processor_rounds_to_the_same_bytes() -> None:
    here, old = arithmetic(), sums(0, is_old=True)
    rounded = [name for name in here if not name.startswith("plain_")]
    assert rounded == ["score", "curve", "value"]
    assert {name: old[name] for name in rounded} == {name: here[name] for name in rounded}


def test_shards_of_both_widths_plan_the_same_bytes() -> None:
    """17,000 people are five shards of 2^12 and two of 2^14."""
    assert SHARD_BITS == (12, 14)
    narrow, wide = (plan(17_000, bits, campaigns=6, sampled=1_000) for bits in SHARD_BITS)
    assert narrow == wide
