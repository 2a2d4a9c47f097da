"""A gate without a result stays closed, and so does one without the rows it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from angelia.contracts import CONTRACTS, gx
from angelia.contracts.constraints import Constraint, constraints

CHECKS = constraints(CONTRACTS["user_profiles"])


def measured(n_rows: int) -> dict[str, Any]:
    share = {gx.measure_column(check): 0.0 for check in CHECKS}
    return share | {gx.ROW: "all", gx.N_ROWS: n_rows}


def test_an_expectation_without_a_result_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gx.suite_of

    def lacking(name: str, version: int, checks: Sequence[Constraint]) -> Any:
        return whole(name, version, checks[1:])

    monkeypatch.setattr(gx, "suite_of", lacking)
    first, *rest = gx.validate("user_profiles", CHECKS, [measured(3)])
    assert (first.check, first.success, first.crashed) == (CHECKS[0].name, False, "no result")
    assert all(outcome.success for outcome in rest)


@pytest.mark.parametrize(("n_rows", "failed"), [(0, {"rows.min"}), (1, set())])
def test_no_rows_fail_where_a_contract_asks_for_one(n_rows: int, failed: set[str]) -> None:
    outcomes = gx.validate("user_profiles", CHECKS, [measured(n_rows)])
    assert {outcome.check for outcome in outcomes if not outcome.success} == failed
