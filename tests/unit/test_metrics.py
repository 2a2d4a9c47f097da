"""Counters that outlive their process: many short processes add to one file.

Here they are threads: the file's lock keeps those apart, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from angelia import metrics
from angelia.metrics import Totals

NAME = "angelia_rows_total"
TEXT = {NAME: "Rows."}


def value(path: Path, **labels: str) -> float:
    """Return a sample of the file."""
    return metrics._read(path)[NAME, tuple(sorted(labels.items()))]


def count(path: Path, n: int) -> None:
    totals = Totals(path, TEXT)
    for sent in range(1, n + 1):
        totals.add([(NAME, {"channel": "fcm"}, float(sent))], is_last=True)


def test_runs_side_by_side_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "angelia_x.prom"
    with ThreadPoolExecutor(3) as runs:
        list(runs.map(count, [path] * 3, [50] * 3))
    assert value(path, channel="fcm") == 150
    assert path.read_text() == (
        f"# HELP {NAME} Rows.\n# TYPE {NAME} counter\n" + f'{NAME}{{channel="fcm"}} 150\n'
    )


def test_labels_come_back_as_they_were(tmp_path: Path) -> None:
    path, text = tmp_path / "x.prom", 'a "quoted\\n" \\ and a\nline, {x="y"} 3'
    for _ in range(2):
        Totals(path, TEXT).add([(NAME, {"reason": text}, 1.0)], is_last=True)
    assert value(path, reason=text) == 2


def test_it_writes_every_two_seconds_and_the_last_time(tmp_path: Path) -> None:
    totals, path = Totals(tmp_path / "x.prom", TEXT), tmp_path / "x.prom"
    totals.add([(NAME, {}, 1.0)])
    totals.add([(NAME, {"channel": "fcm"}, 2.0)])
    assert path.read_text().splitlines()[-1] == f"{NAME} 1"
    totals.add([(NAME, {"channel": "fcm"}, 2.0)], is_last=True)
    assert value(path, channel="fcm") == 2


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"", b'angelia_rows_total{channel="fcm"} x\n'])
def test_a_damaged_file_counts_from_nothing(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.prom"
    path.write_bytes(damage)
    Totals(path, TEXT).add([(NAME, {"channel": "fcm"}, 4.0)], is_last=True)
    assert value(path, channel="fcm") == 4


def test_nothing_is_kept_without_a_file() -> None:
    Totals(None, TEXT).add([(NAME, {}, 1.0)], is_last=True)


def test_a_counter_without_labels_adds_up(tmp_path: Path) -> None:
    for _ in range(2):
        Totals(tmp_path / "x.prom", TEXT).add([(NAME, {}, 2.0)], is_last=True)
    assert value(tmp_path / "x.prom") == 4
