"""DDL and measures derived from the contracts; `make golden` rewrites them.

A change of a contract shows here as the SQL that it becomes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts.duckdb import ddl, measures_sql

FOLDER = Path(__file__).parent / "contracts"
WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ddl.sql", "\n".join(ddl(contract) for contract in CONTRACTS.values())),
        *(
            (f"measures_{name}.sql", measures_sql(CONTRACTS[name], name) + "\n")
            for name in ("user_profiles", "user_events", "send_times")
        ),
    ],
)
def test_sql_of_contracts(name: str, text: str) -> None:
    path = FOLDER / name
    if WRITE_GOLDEN:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        "the SQL of a contract changed: look at it, then `make golden`"
    )
