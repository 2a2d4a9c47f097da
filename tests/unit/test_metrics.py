"""The Prometheus text format: families with samples, numbers as they are, labels escaped."""

from __future__ import annotations

from pathlib import Path

from angelia.metrics import Family, render, write

ROWS = Family("rows_total", "counter", "Rows.", [({"dataset": "user_days"}, 12.0), ({}, 0.5)])


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
