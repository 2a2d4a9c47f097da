"""What is known of devices is optional: older files and plain sources lack it."""

from __future__ import annotations

import duckdb
import pytest

from angelia.contracts import arrow
from angelia.contracts.constraints import constraints
from angelia.contracts.devices.endpoints import USER_ENDPOINTS
from angelia.contracts.duckdb import measure
from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput

DEVICE = ["app_version", "permission"]


def test_a_source_without_devices_passes_its_gate() -> None:
    assert [name for name in USER_ENDPOINTS.names if USER_ENDPOINTS[name].optional] == DEVICE
    whole = valid_rows("user_endpoints", 40)
    bare = whole.drop_columns(DEVICE)
    wrong = whole.set_column(6, "permission", [["maybe"] * 40])
    with duckdb.connect() as connection:
        for name, rows, bad in (("bare", bare, {}), ("wrong", wrong, {"permission.allowed": 40})):
            connection.register(name, rows)
            measured = measure(
                connection, USER_ENDPOINTS, [(f"SELECT * FROM {name}", 40)], name, "2026-11-14"
            )
            assert {check: n for check, n in measured.n_bad.items() if n} == bad
    assert "app_version.present" not in {check.name for check in constraints(USER_ENDPOINTS)}


def test_what_is_missing_is_null_if_it_is_optional() -> None:
    bare = valid_rows("user_endpoints", 3).drop_columns(DEVICE)
    assert arrow.conform(bare, USER_ENDPOINTS)["permission"].to_pylist() == [None] * 3
    with pytest.raises(InvalidInput, match="missing columns"):
        arrow.conform(bare.drop_columns(["address"]), USER_ENDPOINTS)
    assert arrow.filled(bare, ["permission", "address"], USER_ENDPOINTS).column_names == [
        "permission",
        "address",
    ]
    with pytest.raises(InvalidInput, match="has no column address"):
        arrow.names_in(["user_id"], ["address", "permission"], USER_ENDPOINTS, "some/file")
