"""docs/DATASETS.md is written from the contracts: current, complete, and safe as a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from angelia.contracts import CONTRACTS, markdown
from angelia.contracts.core import Column, Dataset, Severity

ROOT = Path(__file__).parents[3]


def test_committed_document_is_current() -> None:
    assert markdown.main(["--check", "--out", str(ROOT / "docs" / "DATASETS.md")]) == 0, (
        "run `python -m angelia.contracts.markdown`"
    )


def test_document_check_sees_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "DATASETS.md"
    assert markdown.main(["--check", "--out", str(target)]) == 2
    assert "differs from the contracts" in capsys.readouterr().err
    assert markdown.main(["--out", str(target)]) == 0
    assert markdown.main(["--check", "--out", str(target)]) == 0


def test_a_column_says_its_type_unit_and_checks() -> None:
    columns = (
        Column("id", pa.string(), "who", pattern="^(a|b)$", personal=True, tolerated_pct=1.0),
        Column(
            "spent",
            pa.int64(),
            "money",
            unit="micros",
            nullable=True,
            minimum=0,
            severity=Severity.WARNING,
        ),
    )
    text = markdown.document(
        [Dataset("t", 2, "person", ("id",), ("ds",), columns, ("a job",), retention_days=7)]
    )
    assert "| [t](#t) | person | `ds` | a job |" in text
    assert "Version 2; one row per person; key `id`; kept 7 days." in text
    (who,) = [line for line in text.splitlines() if line.startswith("| `id` ")]
    assert "who; **personal**" in who
    assert "≤ 1 %" in who
    assert "(a\\|b)" in who, "a pattern's bar would end the cell"
    (spent,) = [line for line in text.splitlines() if line.startswith("| `spent` ")]
    assert "| int64 | yes | money (micros) |" in spent
    assert "*warning*" in spent


def test_architecture_gives_every_dataset_its_place() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = text.partition("## 2. The data")[2].partition("The Spark jobs are exactly")[0]
    assert [name for name in CONTRACTS if f"`{name}`" not in section] == []
