"""ClickHouse (chdb) in the audience benchmark: groupBitmap states per shard.

The best of four SQL forms counts. Runs in `.venv-peers`. The sets come from the same packed words; building
(bits to ordinals to states) is timed apart. Columns are stored uncompressed, which is faster.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from chdb import session

SHARDS = 16
# Each answers A AND B AND NOT C; the fastest on the warm-up rounds is kept.
FORMS = {
    "join": "SELECT sum(bitmapAndCardinality(bitmapAndnot(a.s, c.s), b.s)) FROM sets a"
    " JOIN sets b ON a.shard = b.shard JOIN sets c ON a.shard = c.shard WHERE a.tag = 't00' AND "
    "b.tag = 't01' AND c.tag = 't02'",
    "columns": "SELECT sum(bitmapAndCardinality(bitmapAndnot(a, c), b)) FROM wide",
    "columns_and_first": "SELECT sum(bitmapAndnotCardinality(bitmapAnd(a, b), c)) FROM wide",
    "merge_if": "SELECT sum(bitmapAndCardinality(bitmapAndnot(a, c), b)) FROM (SELECT shard, "
    "groupBitmapMergeStateIf(s, tag = 't00') AS a,"
    " groupBitmapMergeStateIf(s, tag = 't01') AS b, groupBitmapMergeStateIf(s, tag = 't02') AS c "
    "FROM sets GROUP BY shard)",
}


STATE = "AggregateFunction(groupBitmap, UInt32) CODEC(NONE)"


def load(folder: Path) -> session.Session:
    """Make the tables from the packed words."""
    facts = json.loads((folder / "raw" / "facts.json").read_text())
    click = session.Session(str(folder / "click"))
    click.query("SET max_threads = 2")
    click.query("CREATE DATABASE d ENGINE = Atomic")
    click.query(
        f"CREATE TABLE d.sets (tag String, shard UInt32, s {STATE}) ENGINE = MergeTree ORDER BY (tag, shard)"
    )
    per_shard = -(-facts["users"] // SHARDS)
    for tag in ("t00", "t01", "t02"):
        bits = np.memmap(folder / "raw" / f"{tag}.bits", np.uint8, mode="r")
        for shard in range(SHARDS):
            first, last = shard * per_shard, min((shard + 1) * per_shard, facts["users"])
            # A shard may begin within a byte of the packed words.
            lead = first & 7
            flags = np.unpackbits(np.asarray(bits[first >> 3 : (last + 7) >> 3]), bitorder="little")[
                lead : lead + last - first
            ]
            ordinals = (np.flatnonzero(flags) + first).astype(np.uint32)
            path = folder / "ordinals.parquet"
            pq.write_table(pa.table({"n": ordinals}), path, compression="none", use_dictionary=False)
            click.query(
                f"INSERT INTO d.sets SELECT '{tag}', {shard}, groupBitmapState(n) FROM "
                f"file('{path}', 'Parquet', 'n UInt32')"
            )
    # Some of the forms want the three states of a shard side by side in one row.
    columns = ", ".join(f"{name} {STATE}" for name in "abc")
    click.query(
        f"CREATE TABLE d.wide (shard UInt32, {columns}) ENGINE = MergeTree ORDER BY shard "
        f"SETTINGS index_granularity = 1"
    )
    click.query(
        "INSERT INTO d.wide SELECT shard, groupBitmapMergeStateIf(s, tag = 't00'), "
        "groupBitmapMergeStateIf(s, tag = 't01'),"
        " groupBitmapMergeStateIf(s, tag = 't02') FROM d.sets GROUP BY shard"
    )
    click.query("USE d")
    return click


def ask(click: session.Session, form: str) -> int:
    """Return one form's count."""
    return int(str(click.query(FORMS[form] + " SETTINGS max_threads = 2", "TabSeparated")).strip())


def main() -> None:
    """Load, choose the fastest form, and answer until stopped."""
    folder = Path(sys.argv[1])
    began = time.perf_counter()
    click = load(folder)
    build_s = time.perf_counter() - began
    best: dict[str, float] = {}
    for _ in range(3):
        for form in FORMS:
            began = time.perf_counter()
            ask(click, form)
            best[form] = min(best.get(form, 1e9), time.perf_counter() - began)
    form = min(best, key=best.get)
    print(json.dumps({"states": ["warm"], "build_s": round(build_s, 1), "form": form}), flush=True)
    for line in sys.stdin:
        if json.loads(line).get("stop"):
            print(
                json.dumps(
                    {"peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}
                ),
                flush=True,
            )
            return
        began = time.perf_counter()
        count = ask(click, form)
        print(json.dumps({"count": count, "ms": (time.perf_counter() - began) * 1e3}), flush=True)


if __name__ == "__main__":
    main()
