"""The processes of the audience benchmark, which answer lines of JSON on stdin.

Our engine, NumPy on packed bits, DuckDB on boolean columns.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Ask = Callable[[str, str], int]
BLOCK_BYTES = 1 << 18
DS = "2026-11-14"


def ours(folder: Path) -> tuple[Ask, list[str]]:
    """Return our engine: resident when hot, opened anew when warm."""
    from angelia.audience.query import AudienceQuery
    from angelia.lake import Lake

    url = str(folder / "lake")
    resident = AudienceQuery(Lake.open(url), DS, resident=True)

    def ask(state: str, text: str) -> int:
        return (resident if state == "hot" else AudienceQuery(Lake.open(url), DS)).measure(text).count

    return ask, ["warm", "hot"]


def numpy_bits(folder: Path) -> tuple[Ask, list[str]]:
    """Return A AND B AND NOT C on packed bits in memory, in blocks that fit the cache."""
    a, b, c = (np.fromfile(folder / "raw" / f"t{i:02d}.bits", np.uint64) for i in range(3))
    step = BLOCK_BYTES >> 3

    def ask(_state: str, _text: str) -> int:
        total = 0
        for first in range(0, len(a), step):
            here = slice(first, first + step)
            total += int(np.bitwise_count(a[here] & b[here] & ~c[here]).sum(dtype=np.int64))
        return total

    return ask, ["hot"]


def duckdb(folder: Path) -> tuple[Ask, list[str]]:
    """Return the same as a filter on boolean columns of a DuckDB table, on two threads."""
    import duckdb as db
    import pyarrow as pa

    facts = json.loads((folder / "raw" / "facts.json").read_text())
    connection = db.connect(str(folder / "duck.db"), config={"threads": 2})
    connection.execute("CREATE TABLE users (a BOOLEAN, b BOOLEAN, c BOOLEAN)")
    maps = [np.memmap(folder / "raw" / f"t{i:02d}.bits", np.uint8, mode="r") for i in range(3)]
    width = min(facts["width"], 1 << 23)
    for first in range(0, facts["users"], width):
        n = min(width, facts["users"] - first)
        columns = [
            pa.Array.from_buffers(
                pa.bool_(), n, [None, pa.py_buffer(bits[first >> 3 : (first + n + 7) >> 3])]
            )
            for bits in maps
        ]
        batch = pa.table(dict(zip("abc", columns, strict=True)))  # noqa: F841 - DuckDB finds it by its name
        connection.execute("INSERT INTO users SELECT * FROM batch")
    connection.execute("CHECKPOINT")

    def ask(_state: str, _text: str) -> int:
        row = connection.execute("SELECT count(*) FROM users WHERE a AND b AND NOT c").fetchone()
        assert row is not None
        return int(row[0])

    return ask, ["warm"]


def main() -> None:
    """Load, print that it is ready, and answer until stopped."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    began = time.perf_counter()
    ask, states = {"ours": ours, "numpy_bits": numpy_bits, "duckdb": duckdb}[name](folder)
    print(
        json.dumps(
            {
                "states": states,
                **({} if name == "ours" else {"build_s": round(time.perf_counter() - began, 1)}),
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        question = json.loads(line)
        if question.get("stop"):
            print(
                json.dumps(
                    {"peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}
                ),
                flush=True,
            )
            return
        began = time.perf_counter()
        count = ask(question["state"], question["text"])
        print(json.dumps({"count": count, "ms": (time.perf_counter() - began) * 1e3}), flush=True)


if __name__ == "__main__":
    main()
