"""Fields follow the contract of features: kinds, allowed values, dates, and no ids."""

from __future__ import annotations

import pytest

from angelia.audience.language.fields import BEHIND_FUNCTIONS, FIELDS, FieldKind
from angelia.contracts.derived import USER_FEATURES


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("gender", "gender", FieldKind.TEXT),
        ("age_years", "age_years", FieldKind.INTEGER),
        ("value_28d", "value_28d", FieldKind.REAL),
        ("is_suppressed", "is_suppressed", FieldKind.FLAG),
        ("tag", "tags", FieldKind.SET),
        ("signup_date", "days_since_signup", FieldKind.DATE),
    ],
)
def test_a_field_reads_its_column_as_its_kind(name: str, column: str, kind: FieldKind) -> None:
    assert (FIELDS[name].column, FIELDS[name].kind) == (column, kind)


def test_nobody_is_selected_by_who_they_are() -> None:
    assert "user_id" not in FIELDS
    assert "ordinal" not in FIELDS
    assert not any(USER_FEATURES[field.column].personal for field in FIELDS.values())


def test_every_count_of_days_is_also_a_date() -> None:
    counts = [name for name in FIELDS if name.startswith("days_since_")]
    assert counts
    assert all(f"{name.removeprefix('days_since_')}_date" in FIELDS for name in counts)


def test_values_are_those_of_the_profile() -> None:
    assert FIELDS["gender"].allowed == ("f", "m", "x")
    assert FIELDS["province"].allowed is None


def test_a_column_is_a_field_or_stands_behind_a_function() -> None:
    hidden = set(USER_FEATURES.names) - {field.column for field in FIELDS.values()}
    assert hidden - set(BEHIND_FUNCTIONS) == {"ordinal", "user_id"}
