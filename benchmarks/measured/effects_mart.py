"""A month of plans, sends, receipts and events for the marts: written once, then timed.

Everything is drawn, and nothing depends on anything else: the work is that of a real month of this size (a
message for three people in ten a night, half an opening of the app a person and day), the figures mean
nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts import dataset
from angelia.contracts.derived import DECISION_FIELDS
from angelia.contracts.planned.pairs import PairWords, number_pairs
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.lake.attempt import GROUP_ROWS
from angelia.output import progress
from benchmarks.harness.watch import Watch

FIRST = date(2026, 10, 1)
CAMPAIGNS = tuple(f"campaign_{i}" for i in range(10))
VENDORS = ("apple", "huawei", "oppo", "samsung", "vivo", "xiaomi")
COUNTRIES = ("BR", "CN", "DE", "FR", "IN", "JP", "US")
WORDS = PairWords(CAMPAIGNS, (), ("a", "b", "c"), ("fcm", "email"))
SENT_SHARE = 0.3
CONSIDERED = 3  # campaigns a person and night
CHUNK = 250_000

_TIMED = """
import sys, time
from datetime import date, timedelta
from angelia.commands.effects.mart import connected
from angelia.effects.attribution.mart import refresh
from angelia.lake import Lake
url, first, nights = sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3])
days = [(first + timedelta(days=n)).isoformat() for n in range(nights)]
began = time.perf_counter()
with connected() as connection:
    made = refresh(connection, Lake.open(url), days, lead_hours=28, conversion="purchase")
print(time.perf_counter() - began, sum(night.commit.rows for night in made))
"""


def measure(people: int, nights: int, seed: int) -> dict[str, Any]:
    """Return how long a month's marts take in a process of their own, and its memory."""
    with tempfile.TemporaryDirectory(prefix="angelia-mart-") as folder:
        url = f"{folder}/lake"
        began = time.perf_counter()
        write(Lake.open(url), people, nights, seed)
        progress(f"effects: {nights} nights of {people:,} people after {time.perf_counter() - began:.0f} s")
        command = [sys.executable, "-c", _TIMED, url, FIRST.isoformat(), str(nights)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
            watch = Watch(process.pid)
            watch.start()
            out, _ = process.communicate()
            watch.over.set()
            watch.join()
        if process.returncode:
            raise RuntimeError("the marts could not be made; the error stands above")
        took, cells = out.splitlines()[-1].split()
    return {
        "mart_s": round(float(took), 1),
        "mart_cpu_s": round(watch.cpu_s, 1),
        "mart_peak_gib": round(watch.peak_kib / 2**20, 2),
        "mart_cells": int(cells),
    }


def write(lake: Lake, people: int, nights: int, seed: int) -> None:
    """Write the month."""
    rng = np.random.default_rng([seed, 7])
    users = pa.array([f"u{i:07d}" for i in range(people)])
    features = _features(rng, people, users)
    catalog = pa.Table.from_pylist([
        {"kind": "campaign", "id": name, "version": 1,
         "body": json.dumps({"audience": f"audience_{i % 4}", "guarantee": "at_most_once"})}
        for i, name in enumerate(CAMPAIGNS)
    ])  # fmt: skip
    for n in range(nights):
        ds = (FIRST + timedelta(days=n)).isoformat()
        start = datetime.combine(FIRST + timedelta(days=n + 1), datetime.min.time(), UTC) + timedelta(hours=4)
        _put(lake, "catalog_snapshot", [catalog], ds=ds)
        _put(lake, "user_features", [features], ds=ds)
        _night(lake, rng, users, ds, start)
    for n in range(nights + 3):
        _events(lake, rng, users, FIRST + timedelta(days=n + 1))


def _features(rng: np.random.Generator, people: int, users: pa.Array) -> pa.Table:
    sample = valid_rows("user_features", 1_000)
    table = sample.take(pa.array(np.arange(people) % 1_000))
    made = {
        "user_id": users,
        "ordinal": pa.array(np.arange(people), pa.uint32()),
        "device_vendor": _names(rng, VENDORS, people),
        "country": _names(rng, COUNTRIES, people),
        "days_since_signup": pa.array(rng.integers(0, 1_000, people), pa.int32()),
    }
    for name, values in made.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), values)
    return table


def _night(lake: Lake, rng: np.random.Generator, users: pa.Array, ds: str, start: datetime) -> None:
    decided, numbered, ledgers, receipts = [], [], [], []
    for first in range(0, len(users), CHUNK):
        own = users.slice(first, CHUNK)
        n = len(own) * CONSIDERED
        of = np.arange(n) // CONSIDERED
        turn = (np.arange(n) % CONSIDERED * 3 + of) % len(CAMPAIGNS)
        campaigns = pa.array([CAMPAIGNS[i] for i in range(len(CAMPAIGNS))]).take(pa.array(turn))
        messages = _hex(rng, n)
        is_sent = (np.arange(n) % CONSIDERED == 0) & (rng.random(n) < SENT_SHARE)
        held = (of % 20 == 0) & ~is_sent
        outcome = np.where(is_sent, "sent", np.where(held, "holdout_global", "not_chosen"))
        slot = np.datetime64(start.replace(tzinfo=None), "us") + rng.integers(0, 24, n) * np.timedelta64(
            1, "h"
        )
        columns = {
            "campaign_id": campaigns,
            "message_id": messages,
            "occurrence": _same(ds, n),
            "material_id": _names(rng, WORDS.materials, n),
            "material_propensity": pa.array(np.full(n, 0.3)),
            "slot": pa.array(slot, mask=~is_sent).cast(pa.timestamp("us", "UTC")),
            "slot_propensity": pa.nulls(n, pa.float64()),
            "channel": pa.array(np.where(rng.random(n) < 0.7, "fcm", "email"), mask=~is_sent),
            "outcome": pa.array(outcome),
            "p_open": pa.array(rng.random(n)),
            "value_micros": pa.array(np.zeros(n, np.int64)),
            "price_micros": pa.array(np.zeros(n, np.int64)),
            "arm": pa.nulls(n, pa.string()),
            "is_explore": pa.array(np.zeros(n, bool)),
            "eligible": pa.nulls(n, pa.binary()),
        }
        fields = [columns[field.name].cast(field.type) for field in DECISION_FIELDS]
        choices = pa.ListArray.from_arrays(
            np.arange(0, n + 1, CONSIDERED, dtype=np.int32),
            pa.StructArray.from_arrays(fields, names=[field.name for field in DECISION_FIELDS]),
        )
        ordinals = pa.array(np.arange(first, first + len(own)), pa.uint32())
        decided.append(pa.table({"ordinal": ordinals, "user_id": own, "choices": choices}))
        numbered.append(number_pairs(decided[-1], WORDS))
        chosen = pa.array(np.flatnonzero(is_sent))
        m = len(chosen)
        sent_ts = columns["slot"].take(chosen)
        who = {
            "dispatch_id": _hex(rng, m),
            "message_id": messages.take(chosen),
            "user_id": own.take(pa.array(of[is_sent])),
            "campaign_id": campaigns.take(chosen),
            "material_id": columns["material_id"].take(chosen),
            "channel": columns["channel"].take(chosen),
        }
        ledgers.append(
            pa.table(
                who
                | {
                    "outcome": _same("accepted", m),
                    "reason": pa.nulls(m, pa.string()),
                    "provider_id": pa.nulls(m, pa.string()),
                    "sent_ts": sent_ts,
                    "n_attempts": pa.array(np.ones(m, np.int16)),
                    "payload_sha256": pa.nulls(m, pa.string()),
                }
            )
        )
        for kind, share in (("accepted", 1.0), ("delivered", 0.8), ("opened", 0.06)):
            answering = pa.array(np.flatnonzero(rng.random(m) < share))
            answers = pa.table(
                who
                | {
                    "receipt_id": _hex(rng, m),
                    "kind": _same(kind, m),
                    "receipt_ts": sent_ts,
                    "sent_ts": sent_ts,
                    "reason": pa.nulls(m, pa.string()),
                }
            )
            receipts.append(answers.take(answering))
    plan = _put(lake, "decisions", decided, {"start": start.isoformat()}, ds=ds)
    _put(lake, "decided_pairs", numbered, WORDS.meta(), [plan], row_group_size=GROUP_ROWS, ds=ds)
    _put(lake, "delivery_ledger", ledgers, ds=ds, send_hour=f"{start:%Y-%m-%dT%H}", part="0000")
    _put(lake, "push_receipts", receipts, ds=ds, source="worker", part="0000")


def _events(lake: Lake, rng: np.random.Generator, users: pa.Array, day: date) -> None:
    n = len(users) * 53 // 100
    begin = np.datetime64(day.isoformat(), "us")
    kinds = np.where(rng.random(n) < 0.06, "purchase", "open")
    table = pa.table(
        {
            "event_id": _hex(rng, n),
            "user_id": users.take(pa.array(rng.integers(0, len(users), n))),
            "event_type": pa.array(kinds),
            "item": pa.nulls(n, pa.string()),
            "value": pa.array(np.where(kinds == "purchase", rng.gamma(2.0, 10.0, n), 0.0)),
            "event_ts": pa.array(begin + rng.integers(0, 86_400, n) * np.timedelta64(1, "s")).cast(
                pa.timestamp("us", "UTC")
            ),
        }
    )
    _put(lake, "user_events", [table], ds=day.isoformat())


def _put(
    lake: Lake,
    name: str,
    tables: list[pa.Table],
    meta: dict[str, Any] | None = None,
    inputs: Sequence[Commit] = (),
    row_group_size: int | None = None,
    **leaf: str,
) -> Commit:
    with lake.attempt(name, **leaf) as attempt:
        for i, table in enumerate(tables):
            rows = table.select(dataset(name).names)
            attempt.write(rows, f"part-{i:04d}.parquet", row_group_size=row_group_size)
        return attempt.publish(meta=meta, inputs=inputs)


def _hex(rng: np.random.Generator, n: int) -> pa.Array:
    """Return n draws of 32 hexadecimal digits."""
    digits = pa.py_buffer(rng.bytes(16 * n).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 32 * (n + 1), 32, dtype=np.int32))
    return pa.StringArray.from_buffers(n, offsets, digits)


def _names(rng: np.random.Generator, names: tuple[str, ...], n: int) -> pa.Array:
    return pa.array(names).take(pa.array(rng.integers(0, len(names), n)))


def _same(value: str, n: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(n, np.int64)))
