"""The Prometheus text format, and counters that outlive their process.

Many short processes add to one file. Here they are threads: the file's lock keeps those apart, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from angelia import metrics
from angelia.metrics import Family, Totals, render, write

ROWS = Family("rows_total", "counter", "Rows.", [({"dataset": "user_days"}, 12.0), ({}, 0.5)])
NAME = "angelia_rows_total"
TEXT = {NAME: "Rows."}


def test_families_have_help_type_and_samples() -> None:
    assert render([Family("empty", "gauge", "None.", []), ROWS]) == (
        "# HELP rows_total Rows.\n"
        "# TYPE rows_total counter\n"
        'rows_total{dataset="user_days"} 12\n'
        "rows_total 0.5\n"
    )


def test_numbers_that_are_none_are_written() -> None:
    family = Family("x", "gauge", "X.", [({}, float("inf")), ({}, float("nan"))])
    assert render([family]).splitlines()[-2:] == ["x inf", "x nan"]


def test_label_values_are_escaped() -> None:
    family = Family("x_total", "counter", "X.", [({"reason": 'a "b"\\\n'}, 1.0)])
    assert render([family]).splitlines()[-1] == 'x_total{reason="a \\"b\\"\\\\\\n"} 1'


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "angelia.prom"
    write(path, [ROWS])
    write(path, [ROWS._replace(samples=[({}, 1.0)])])
    assert path.read_text().splitlines()[-1] == "rows_total 1"
    assert [file.name for file in path.parent.iterdir()] == ["angelia.prom"]


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
