"""Rows that a check counted, for a person to look at, with personal columns hashed.

Reads the commits that the gate judged, or the newest where it was never checked, and the key `keys/quality`
(made once in the lake, so that equal values look equal in every run); writes nothing else.

Surprise: a column that no contract declares is treated as personal, since nobody knows what is in it.
"""
# ruff: noqa: S608 - the statements consist of this package's names and constants.

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from angelia.config import load_settings
from angelia.contracts import CONTRACTS, dataset
from angelia.contracts import duckdb as sql
from angelia.contracts.constraints import Constraint, Kind, constraints
from angelia.errors import InvalidInput, NotFound, without_addresses
from angelia.lake import Lake
from angelia.lake.keys import lake_key
from angelia.lake.views import View, Views, open_views
from angelia.quality.covered import commits_for
from angelia.quality.gates import EXISTS, READABLE, gate_of, prepare
from angelia.quality.invariants import Invariant
from angelia.quality.judged import JudgedLake
from angelia.quality.verdicts import load

_PERSONAL = frozenset(
    column.name for contract in CONTRACTS.values() for column in contract.columns if column.personal
)
_KNOWN = frozenset(column.name for contract in CONTRACTS.values() for column in contract.columns)
_DECLARED_ELSEWHERE = frozenset({"n_sent"})  # counts that an invariant's statement makes itself


def offending_rows(
    lake: Lake, gate: str, check: str, ds: str, *, limit: int = 20, show_personal: bool = False
) -> list[dict[str, Any]]:
    """Return up to `limit` rows that break a check, in no promised order.

    Args:
        lake: where the data is.
        gate: sources, features or plan.
        check: a check's name, as verdicts give it: `user_profiles.timezone.max_null`.
        ds: the closed day.
        limit: most rows.
        show_personal: print ids and addresses as they are.

    Raises:
        InvalidInput: the gate has no such check, or it is not about rows.
        NotFound: the partition is not there.
    """
    chosen = gate_of(gate)
    invariant = next((one for one in chosen.invariants if one.name == check), None)
    counted = load(lake, gate, ds)
    # The commits that the verdict cites: in later ones the rows may be mended.
    with open_views(JudgedLake(lake, ds, {gate: counted}) if counted else lake) as views:
        if invariant is not None:
            rows = _of_invariant(views, invariant, ds, limit)
        else:
            name, constraint = _find(gate, check)
            view = _open(views, name, ds)
            statement = _statement(views, view, constraint)
            parameters = sql.parameters(statement, ds)
            rows = views.connection.sql(
                f"SELECT * FROM ({statement}) LIMIT {limit:d}", params=parameters or None
            ).to_arrow_table()
    return _readable(rows, None if show_personal else lake_key(lake.store, "quality"))


def check_names(gate: str) -> list[str]:
    """Return the names of all checks of a gate."""
    chosen = gate_of(gate)
    of_contracts = [
        f"{name}.{check.name}"
        for name in (*chosen.required, *chosen.optional)
        for check in constraints(dataset(name))
    ]
    return [*of_contracts, *(one.name for one in chosen.invariants)]


def _find(gate: str, check: str) -> tuple[str, Constraint]:
    chosen = gate_of(gate)
    name, _, rest = check.partition(".")
    if name in (*chosen.required, *chosen.optional):
        if rest in (EXISTS, READABLE):
            raise InvalidInput(
                f"{check} is about the partition as a whole, so it has no rows to show",
                fix=f"look at `angelia lake log {name}`",
            )
        for constraint in constraints(dataset(name)):
            if constraint.name == rest:
                if constraint.kind is Kind.MIN_ROWS:
                    raise InvalidInput(
                        f"{check} counts rows that are not there", fix=f"look at `angelia lake log {name}`"
                    )
                return name, constraint
    import difflib

    near = difflib.get_close_matches(check, check_names(gate), n=3)
    raise InvalidInput(
        f"gate {gate} has no check {check!r}",
        fix=f"did you mean {', '.join(near)}?" if near else f"try `angelia quality show --gate {gate}`",
    )


def _open(views: Views, name: str, ds: str) -> View:
    commits = commits_for(views.lake, name, ds)
    if not commits:
        raise NotFound(
            f"{name} has no commit for ds={ds}",
            fix=f"it is written by: {', '.join(dataset(name).written_by)}",
        )
    return views.add(name, commits)


def _of_invariant(views: Views, invariant: Invariant, ds: str, limit: int) -> pa.Table:
    wanted = {
        *invariant.needs,
        invariant.dataset,
        *({"user_features"} if "$index_users" in invariant.sql else ()),
    }
    opened = {name: _open(views, name, ds) for name in sorted(wanted)}
    every = prepare(views, opened, ds, load_settings().lead_hours)
    named = {name: value for name, value in every.items() if f"${name}" in invariant.sql}
    return views.connection.sql(
        f"SELECT * FROM ({invariant.sql}) LIMIT {limit:d}", params=named or None
    ).to_arrow_table()


def _statement(views: Views, view: View, constraint: Constraint) -> str:
    """Return the statement that selects the breaking rows.

    For presence and type these are the rows of the files at fault.
    """
    contract = dataset(view.name)
    expected = sql.expected_types(views.connection, contract)
    if constraint.kind in (Kind.PRESENT, Kind.TYPE):
        column = constraint.columns[0]
        for select, _ in view.parts:
            given = sql.given_types(views.connection, select)
            if (constraint.kind is Kind.PRESENT and column not in given) or (
                column in given and given[column] != expected[column]
            ):
                return select
        return f"SELECT * FROM {sql.identifier(view.name)} WHERE FALSE"
    given = sql.given_types(views.connection, f"SELECT * FROM {sql.identifier(view.name)}")
    if any(given.get(column) != expected[column] for column in constraint.columns):
        raise InvalidInput(
            f"{view.name}: {', '.join(constraint.columns)} is missing or of another type, so "
            f"{constraint.name} cannot be looked at"
        )
    return sql.breaking_rows_sql(contract, constraint, view.name)


def _readable(rows: pa.Table, key: bytes | None) -> list[dict[str, Any]]:
    shown = {
        name: name if key is None or name in _NAMES else f"column {at}"  # the name may be an address
        for at, name in enumerate(rows.column_names, 1)
    }
    return [
        {shown[name]: _value(name, value, key) for name, value in row.items()} for row in rows.to_pylist()
    ]


def _value(name: str, value: Any, key: bytes | None) -> Any:
    if value is None:
        return None
    if key is not None and (name in _PERSONAL or name not in _NAMES):
        return _hidden(value, key)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    # Columns may have slipped, so an address is recognised in every column.
    if key and isinstance(value, str | list | dict) and without_addresses(str(value)) != str(value):
        return _hidden(value, key)
    return value


def _hidden(value: Any, key: bytes) -> str:
    return "hash:" + hmac.new(key, repr(value).encode(), hashlib.sha256).hexdigest()[:12]


_CHOICE = frozenset(part.name for part in CONTRACTS["decisions"]["choices"].type.value_type)


_NAMES = _PERSONAL | _KNOWN | _DECLARED_ELSEWHERE | _CHOICE


def columns_first(rows: list[dict[str, Any]], check: str) -> list[Mapping[str, Any]]:
    """Return the rows with the check's column first, so that a narrow terminal shows it."""
    about = check.split(".")[1] if check.count(".") >= 2 else ""
    return [{**({about: row[about]} if about in row else {}), **row} for row in rows]
