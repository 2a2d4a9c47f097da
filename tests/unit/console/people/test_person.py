"""One person as the console shows them: addresses masked, ids as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.console.people.person import (
    ID_CHARS_AT_MOST,
    features_of,
    id_of,
    lookup,
    suppressed_of,
)
from angelia.contracts.rows import user_name, valid_rows
from angelia.contracts.sources import CHANNELS
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.users.suppressions import open_person


def test_an_id_is_taken_as_it_was_typed_but_for_its_edges() -> None:
    assert id_of("  u 1|x \n") == "u 1|x"
    assert id_of("x" * ID_CHARS_AT_MOST)
    for wrong in ("", " \t", "x" * (ID_CHARS_AT_MOST + 1)):
        with pytest.raises(InvalidInput, match="there is no id"):
            id_of(wrong)


def test_nobody_of_an_id_is_found_and_the_id_is_not_repeated(tight_home: Path) -> None:
    lake = Lake.open(str(tight_home / "lake"))
    mine = lookup(lake, user_name(7))
    assert mine.ordinal == 7
    row = features_of(lake, mine)
    assert row is not None
    assert row["ordinal"] == 7
    with pytest.raises(NotFound) as refused:
        lookup(lake, "secret-id")
    assert "secret" not in refused.value.one_line()


def test_a_home_without_people_says_what_to_run(lake: Lake) -> None:
    with pytest.raises(NotFound, match="nobody is known yet"):
        lookup(lake, "u1")


def test_an_entry_in_the_log_closes_one_channel_or_all(lake: Lake) -> None:
    rows = valid_rows("suppressions", 2)
    reasons = ["unsubscribed", "unsubscribed"]
    closed = {"user_id": ["u1"] * 2, "channel": ["sms", None], "address_hash": [None] * 2, "reason": reasons}
    for name, values in closed.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.column_names.index(name), field, pa.array(values, field.type))
    lake.append_log("suppressions", rows.slice(0, 1))
    closed_for_texts = suppressed_of(lake, "u1")
    assert (closed_for_texts.is_closed, closed_for_texts.channels) == (False, ("sms",))
    lake.append_log("suppressions", rows.slice(1))
    says = suppressed_of(lake, "u1")
    assert says.is_closed
    assert len(says.entries) == 2
    assert says.entries[0].since >= says.entries[1].since
    assert suppressed_of(lake, "u2").entries == ()
    # One channel open again leaves the others closed, though no entry names them.
    open_person(lake, "u1", "fcm", at=datetime.now(UTC))
    says = suppressed_of(lake, "u1")
    rest = tuple(sorted({*CHANNELS} - {"fcm"}))
    assert (says.is_closed, says.channels, says.may_open) == (False, rest, ("", *rest))
