"""What the plan reads has the same bytes on another type of processor."""

from benchmarks.identity import sums
from benchmarks.measured.identity import arithmetic


def test_an_old_processor_rounds_to_the_same_bytes() -> None:
    here, old = arithmetic(), sums(0, is_old=True)
    rounded = [name for name in here if not name.startswith("plain_")]
    assert rounded == ["score", "curve", "value"]
    assert {name: old[name] for name in rounded} == {name: here[name] for name in rounded}
