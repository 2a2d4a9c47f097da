"""Contract -> Great Expectations suite over measures, one expectation per constraint.

A suite does not read the dataset. It validates a small frame of measures: per constraint one column
`<name>.bad_pct`, the percent of rows that break it (`rows.min` looks at `n_rows`); one row per measured
dataset. So it runs in constant time and sees no personal value. A NaN measure (the column is missing, so
nothing could be counted) is neutral. See docs/adr/0002-gx-on-measures.md. Surprise: importing Great
Expectations takes about eight seconds, so it is imported inside functions; its usage statistics are off.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angelia.contracts.constraints import Constraint, Kind, constraints
from angelia.contracts.core import Dataset

N_ROWS = "n_rows"
ROW = "measured"  # names the row of the frame in answers


@dataclass(frozen=True)
class Outcome:
    """An expectation's verdict: the rows of the frame that failed it, or why it crashed."""

    check: str
    failed: tuple[str, ...]
    crashed: str | None = None

    @property
    def success(self) -> bool:
        """Return whether nothing failed and nothing crashed."""
        return not self.failed and self.crashed is None


def measure_column(constraint: Constraint) -> str:
    """Return the column of the measures frame that a constraint's expectation looks at."""
    return N_ROWS if constraint.kind is Kind.MIN_ROWS else f"{constraint.name}.bad_pct"


def suite(contract: Dataset) -> Any:
    """Return the ExpectationSuite of a dataset: as many expectations as it has constraints."""
    return suite_of(contract.name, contract.version, constraints(contract))


def suite_of(name: str, version: int, checks: Iterable[Constraint]) -> Any:
    """Return the ExpectationSuite of some checks."""
    meta = {"dataset": name, "contract_version": version}
    return great_expectations().ExpectationSuite(
        name=name, meta=meta, expectations=[expectation(check) for check in checks]
    )


def expectation(check: Constraint) -> Any:
    """Return the expectation of one check: at most so many percent of the rows may break it."""
    counts = check.kind is Kind.MIN_ROWS
    return great_expectations().expectations.ExpectColumnValuesToBeBetween(
        column=measure_column(check),
        description=f"at least {check.minimum:,} rows"
        if counts
        else f"{check.breach}: in at most {check.tolerated_pct:g} % of rows",
        min_value=check.minimum if counts else None,
        max_value=None if counts else check.tolerated_pct,
        severity=str(check.severity),
        meta={"check": check.name, "breach": check.breach},
    )


def validate(
    name: str, checks: Sequence[Constraint], measures: Sequence[Mapping[str, Any]], version: int = 1
) -> list[Outcome]:
    """Validate measured rows against the expectations of some checks, in one run.

    Outcomes are in the order of `checks`.

    Args:
        name: what was measured: a dataset or a gate.
        checks: constraints of a contract, or invariants.
        measures: one mapping per row: `measured` (its name), `n_rows`, and `<check>.bad_pct` per check (None
            = not measured).
        version: of the contract.
    """
    if not checks:
        return []
    gx = great_expectations()
    import pandas as pd

    columns = list(dict.fromkeys(column for row in measures for column in row if column != ROW))
    frame = pd.DataFrame(
        {
            column: pd.array([row.get(column) for row in measures], dtype="Float64").astype("float64")
            for column in columns
        }
    )
    frame.insert(0, ROW, [row[ROW] for row in measures])
    with warnings.catch_warnings():
        # Its own use of pandas is not ours to mend; a warning there must not become a crashed check.
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = (
            context.data_sources.add_pandas("measures")
            .add_dataframe_asset(name)
            .add_batch_definition_whole_dataframe("all")
        )
        expected = context.suites.add(suite_of(name, version, checks))
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=expected)
        )
        result = validation.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]},
        )
    outcomes = {one.expectation_config.meta["check"]: _outcome(one) for one in result.results}
    # An expectation without a result would be a gate that lets everything through.
    return [outcomes.get(check.name) or Outcome(check.name, (), "no result") for check in checks]


def _outcome(result: Any) -> Outcome:
    check = result.expectation_config.meta["check"]
    crash = _crash(result.exception_info)
    if crash is not None:
        return Outcome(check, (), crash)
    failed = tuple(row[ROW] for row in result.result.get("unexpected_index_list") or ())
    if not result.success and not failed:
        return Outcome(check, (), "failed without naming a row")
    return Outcome(check, failed)


def _crash(info: Any) -> str | None:
    # Either one flat record, or one record per metric that could not be computed.
    records = [info] if "raised_exception" in (info or {}) else list((info or {}).values())
    for record in records:
        if record.get("raised_exception"):
            return " ".join(str(record.get("exception_message")).split())[:300]
    return None


def great_expectations() -> Any:
    """Return the library, imported, with its usage statistics off."""
    os.environ["GX_ANALYTICS_ENABLED"] = (
        "false"  # no usage statistics: batch hosts have no way out, and need none
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports sre_constants
        import great_expectations as gx
        import great_expectations.expectations
    return gx
