"""A person's rows under their tombstone: nothing personal of a manifest row is left."""

from __future__ import annotations

from datetime import UTC, datetime

from angelia.contracts import dataset
from angelia.delivery.manifest import sample_plan
from angelia.lake.erasing.journal import ErasedPerson
from angelia.lake.erasing.rows import without

WHO = "u00000001"


def test_a_manifest_row_keeps_nothing_personal() -> None:
    table = sample_plan.rows(0, 3, datetime(2026, 11, 15, 4, tzinfo=UTC), fields='{"first_name": "Zuleika"}')
    erased, n = without(table, "dispatch_manifest", {WHO: ErasedPerson(WHO, "erased-1")})
    assert n == 1
    row = table["user_id"].to_pylist().index(WHO)
    before, after = table.to_pylist()[row], erased.to_pylist()[row]
    contract = dataset("dispatch_manifest")
    personal = [name for name in table.column_names if contract[name].personal and before[name] is not None]
    assert {"fields", "address"} <= set(personal)
    assert all(after[name] != before[name] for name in personal)
    assert (after["user_id"], after["fields"]) == ("erased-1", "{}")
    assert not any(word in str(after) for word in (WHO, "Zuleika", "sandbox-00000001"))
    assert [line for place, line in enumerate(erased.to_pylist()) if place != row] == [
        line for place, line in enumerate(table.to_pylist()) if place != row
    ]
