"""Sets of people of one block, as packed words where dense and as roaring where sparse.

Positions count from the block's first ordinal. Packed words cost one bit a person whatever is in them, need
no deserialising (a memory map is one), and NumPy works on them at the speed of memory with the GIL released,
so that blocks run in threads. Roaring holds the GIL and is 2 to 5 times slower on dense sets, but takes a
hundredth of the size on sparse ones, and on runs. Surprise: nothing here changes an operand; operations may
return one of them.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyroaring import BitMap

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
CONTAINER_BYTES = 8192  # of 65,536 positions, roaring's unit
ARRAY_MAX = 4096
# A roaring set with fewer members than this share of the block is looked up in packed words member by member;
# a fuller one is unpacked.
SPARSE = 1 / 64
# Packed words are 2 to 5 times as fast as roaring where they are up to 4 times as large.
WORTH = 4


class Dense:
    """A set as packed words: bit p, lowest first, is set for position p of the block.

    Shape (block bytes,), a multiple of 8. `is_scratch`: the words came from `_scratch` and go back there when
    this set is dropped, so nothing else may keep them.
    """

    __slots__ = ("_is_scratch", "_n", "bits")

    def __init__(self, bits: U8, n: int | None = None, *, is_scratch: bool = False) -> None:
        self.bits, self._n, self._is_scratch = bits, n, is_scratch

    def __len__(self) -> int:
        if self._n is None:
            # Arrow counts bits at 35 GB/s; np.bitwise_count and a sum take twice as long.
            self._n = int(
                pa.Array.from_buffers(
                    pa.bool_(), len(self.bits) * 8, [None, pa.py_buffer(self.bits)]
                ).true_count
            )
        return self._n

    def __del__(self) -> None:
        if self._is_scratch and len(_free()) < MAX_FREE:
            _free().append(self.bits)


_local = threading.local()
MAX_FREE = 8


def _free() -> list[U8]:
    """Return this thread's words that no set uses."""
    words: list[U8] | None = getattr(_local, "free", None)
    if words is None:
        words = _local.free = []
    return words


def _scratch(size: int) -> U8:
    """Return words to write a result to.

    Asking the system for 1 MiB and faulting it in takes ten times as long as the operation itself.
    """
    free = _free()
    while free:
        if len(words := free.pop()) == size:
            return words
    return np.empty(size, np.uint8)


Set = Dense | BitMap
NOBODY = BitMap()


def bitmap_of(ordinals: npt.NDArray[np.generic]) -> BitMap:
    """Return the bitmap of an array of ordinals (any order, repeats allowed), shape (n,)."""
    # array('I') has a fast path in pyroaring: 0.4 ms against 3.8 ms for a NumPy array of 87,000.
    return BitMap(array("I", np.ascontiguousarray(ordinals, dtype=np.uint32).tobytes()))


def ordinals_of(bitmap: BitMap) -> U32:
    """Return the members in ascending order, shape (n,)."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def bytes_of(width: int) -> int:
    """Return the bytes of a packed set of `width` positions."""
    return max(8, width >> 3)


def of_positions(positions: npt.NDArray[np.generic], width: int, worth: int = WORTH) -> Set:
    """Return the set of positions (n,), in any order and with repeats; see `of_words`."""
    if 2 * worth * len(positions) < width >> 3:
        return compact(bitmap_of(positions))
    flags = np.zeros(max(64, width), dtype=bool)
    flags[positions] = True
    return of_words(np.packbits(flags, bitorder="little"), worth)


def of_flags(flags: npt.NDArray[np.bool_]) -> Set:
    """Return the set of positions where flags are true, shape (width,), a multiple of 64."""
    return of_words(np.packbits(flags, bitorder="little"))


def of_words(bits: U8, worth: int = WORTH) -> Set:
    """Return the set of packed words in whichever form is faster; the words are not copied.

    Args:
        bits: shape (block bytes,), a multiple of 8.
        worth: how many times smaller than packed words a roaring bitmap must be. WORTH is for speed; 1 is for
            size.
    """
    packed = Dense(bits)
    n = len(packed)
    if not n:
        return NOBODY
    words = bits.view(np.uint64)
    before = words << np.uint64(1)  # each position's left neighbour
    before[1:] |= words[:-1] >> np.uint64(63)
    n_runs = len(Dense((words & ~before).view(np.uint8)))
    # A run takes roaring 4 bytes, a lone member 2.
    return compact(to_bitmap(packed)) if worth * min(4 * n_runs, 2 * n) < len(bits) else packed


def compact(bitmap: BitMap) -> BitMap:
    """Return the bitmap after giving its runs the shorter form."""
    bitmap.run_optimize()
    return bitmap


def intersect(plus: Sequence[Set], minus: Iterable[Set], width: int) -> Set:
    """Return the members of all of `plus` (at least one) that are in none of `minus`."""
    few = sorted((members for members in plus if isinstance(members, BitMap)), key=len)
    packed = [members for members in plus if isinstance(members, Dense)]
    away = list(minus)
    if few:
        together = few[0]
        for members in few[1:]:
            together = together & members
        few = [together]
        # Few members are looked up one by one; without any packed operand there is nothing to unpack for.
        if len(together) < SPARSE * width or not (packed or any(isinstance(other, Dense) for other in away)):
            return _few(together, packed, away)
    operands = packed + [to_dense(members, width) for members in few]
    # Nothing to compute: the operand itself is the answer, unchanged.
    if len(operands) == 1 and not any(map(len, away)):
        return operands[0]
    result = _scratch(len(operands[0].bits))
    if len(operands) == 1:
        np.copyto(result, operands[0].bits)
    else:
        np.bitwise_and(operands[0].bits, operands[1].bits, out=result)
    for operand in operands[2:]:
        np.bitwise_and(result, operand.bits, out=result)
    left = Dense(result, is_scratch=True)
    gone = union(away, width)
    if isinstance(gone, Dense):
        common = Dense(_scratch(len(result)), is_scratch=True)
        # a AND NOT b = a XOR (a AND b): the second pass works on words that are still in the cache.
        np.bitwise_and(result, gone.bits, out=common.bits)
        np.bitwise_xor(result, common.bits, out=result)
    elif len(gone) < SPARSE * width:
        if gone:
            at, bits = _bytes_at(gone)
            result[at] &= ~bits
    else:
        np.bitwise_and(result, ~to_dense(gone, width).bits, out=result)
    return left


def _few(few: BitMap, packed: list[Dense], away: list[Set]) -> BitMap:
    """Return a roaring set's members that are in all of `packed` and in none of `away`.

    Each member is looked up in the packed words.
    """
    for other in away:
        if isinstance(other, BitMap) and other:
            few = few - other
    looked_up = [(dense, 1) for dense in packed] + [(other, 0) for other in away if isinstance(other, Dense)]
    if not few or not looked_up:
        return few
    positions = ordinals_of(few)
    for dense, wanted in looked_up:
        bits = (dense.bits[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1
        positions = positions[bits == wanted]
    return bitmap_of(positions)


def union(sets: Iterable[Set], width: int) -> Set:
    """Return the members of any of the sets."""
    sets = list(sets)
    packed = [members for members in sets if isinstance(members, Dense)]
    few = [members for members in sets if isinstance(members, BitMap) and members]
    if not packed:
        return BitMap.union(*few) if len(few) > 1 else few[0] if few else NOBODY
    if len(packed) == 1 and not few:
        return packed[0]
    result = _scratch(len(packed[0].bits))
    if len(packed) > 1:
        np.bitwise_or(packed[0].bits, packed[1].bits, out=result)
    else:
        np.copyto(result, packed[0].bits)
    for members in packed[2:]:
        np.bitwise_or(result, members.bits, out=result)
    if few:
        rest = BitMap.union(*few) if len(few) > 1 else few[0]
        if len(rest) < SPARSE * width:
            at, bits = _bytes_at(rest)
            result[at] |= bits
        else:
            np.bitwise_or(result, to_dense(rest, width).bits, out=result)
    return Dense(result, is_scratch=True)


def exclusive(left: Set, right: Set, width: int) -> Set:
    """Return the members of exactly one of two sets."""
    if isinstance(left, BitMap) and isinstance(right, BitMap):
        return left ^ right
    a, b = to_dense(left, width), to_dense(right, width)
    result = _scratch(len(a.bits))
    np.bitwise_xor(a.bits, b.bits, out=result)
    return Dense(result, is_scratch=True)


def positions_of(members: Set) -> U32:
    """Return the members in ascending order, shape (n,)."""
    if isinstance(members, BitMap):
        return ordinals_of(members)
    return np.flatnonzero(np.unpackbits(members.bits, bitorder="little")).astype(np.uint32)


def to_dense(members: Set, width: int) -> Dense:
    """Return the set as packed words."""
    if isinstance(members, Dense):
        return members
    n, size = len(members), bytes_of(width)
    if not n:
        return Dense(np.zeros(size, np.uint8), 0)
    low, high = members.min(), members.max()
    if high - low + 1 == n:  # one run, which is mostly everyone
        bits = np.zeros(size, np.uint8)
        bits[low >> 3 : (high >> 3) + 1] = 255
        bits[low >> 3] &= (255 << (low & 7)) & 255
        bits[high >> 3] &= 255 >> (7 - (high & 7))
        return Dense(bits, n)
    if n < SPARSE * width:
        bits = np.zeros(size, np.uint8)
        at, value = _bytes_at(members)
        bits[at] = value
        return Dense(bits, n)
    return Dense(_unpack(members, size), n)


def to_bitmap(members: Set) -> BitMap:
    """Return the set as a roaring bitmap.

    The serialised form is written straight from the packed words, then read.

    Source: https://github.com/RoaringBitmap/RoaringFormatSpec (the form without run containers).
    """
    if isinstance(members, BitMap):
        return members
    padding = -len(members.bits) % CONTAINER_BYTES
    bits = np.pad(members.bits, (0, padding)) if padding else np.ascontiguousarray(members.bits)
    containers = bits.reshape(-1, CONTAINER_BYTES)
    counts = np.bitwise_count(containers.view(np.uint64)).sum(axis=1, dtype=np.int64)
    keys = np.flatnonzero(counts)
    sizes = np.where(counts[keys] > ARRAY_MAX, CONTAINER_BYTES, 2 * counts[keys])
    header = np.column_stack((keys, counts[keys] - 1)).astype("<u2")
    offsets = 8 + 8 * len(keys) + np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(keys) else np.zeros(0)
    parts = [
        np.array([12346, len(keys)], dtype="<u4").tobytes(),
        header.tobytes(),
        offsets.astype("<u4").tobytes(),
    ]
    for key in keys:
        if counts[key] > ARRAY_MAX:
            parts.append(containers[key].tobytes())
        else:
            parts.append(
                np.flatnonzero(np.unpackbits(containers[key], bitorder="little")).astype("<u2").tobytes()
            )
    return BitMap.deserialize(b"".join(parts))


def _bytes_at(members: BitMap) -> tuple[npt.NDArray[np.int64], U8]:
    """Return (distinct bytes that hold members, their bits)."""
    positions = ordinals_of(members)
    at = (positions >> 3).astype(np.int64)
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    bits = np.left_shift(np.uint8(1), (positions & 7).astype(np.uint8))
    return at[starts], np.bitwise_or.reduceat(bits, starts)


def _unpack(sparse: BitMap, size: int) -> U8:
    """Return packed words of a large bitmap, container by container from its serialised form."""
    data = sparse.serialize()
    cookie = int.from_bytes(data[:4], "little")
    # 12347: some containers are runs, and a bit per container says which; offsets follow only from 4
    # containers on. Any other cookie: no runs, and always offsets.
    if cookie & 0xFFFF == 12347:
        n = (cookie >> 16) + 1
        is_run = np.unpackbits(np.frombuffer(data, np.uint8, (n + 7) // 8, 4), bitorder="little")[:n]
        at = 4 + (n + 7) // 8
        header = np.frombuffer(data, "<u2", 2 * n, at).reshape(n, 2)
        at += 4 * n + (4 * n if n >= 4 else 0)
    else:
        n = int.from_bytes(data[4:8], "little")
        is_run = np.zeros(n, np.uint8)
        header = np.frombuffer(data, "<u2", 2 * n, 8).reshape(n, 2)
        at = 8 + 8 * n
    bits = np.zeros(-(-size // CONTAINER_BYTES) * CONTAINER_BYTES, np.uint8)
    flags = np.zeros(65_536, dtype=bool)
    for (key, last), run in zip(header.tolist(), is_run.tolist(), strict=True):
        into = bits[key * CONTAINER_BYTES : (key + 1) * CONTAINER_BYTES]
        if run:
            n_runs = int.from_bytes(data[at : at + 2], "little")
            runs = np.frombuffer(data, "<u2", 2 * n_runs, at + 2).reshape(n_runs, 2).astype(np.int64)
            # +1 where a run begins and -1 behind its end: the running sum is 1 inside runs.
            steps = np.zeros(65_537, np.int8)
            steps[runs[:, 0]] += 1
            steps[runs[:, 0] + runs[:, 1] + 1] -= 1
            into[:] = np.packbits(np.cumsum(steps[:-1], dtype=np.int8).view(bool), bitorder="little")
            at += 2 + 4 * n_runs
        elif last + 1 > ARRAY_MAX:
            into[:] = np.frombuffer(data, np.uint8, CONTAINER_BYTES, at)
            at += CONTAINER_BYTES
        else:
            # The flags are cleared member by member: a container has few, and 65,536 flags are many.
            members = np.frombuffer(data, "<u2", last + 1, at)
            flags[members] = True
            into[:] = np.packbits(flags, bitorder="little")
            flags[members] = False
            at += 2 * (last + 1)
    return bits[:size]
