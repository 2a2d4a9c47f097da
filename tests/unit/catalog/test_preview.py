"""Text a campaign would send: people of the newest night, and the documents it is made of."""

from __future__ import annotations

import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.preview import SAMPLE, keys_of, person_row, sample_people
from angelia.contracts.rows import user_name, valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake
from tests.planned_night import CHANNEL, POLICY, SALE, SHOE, TEMPLATE


def features(lake: Lake, ds: str, n: int) -> None:
    with lake.attempt("user_features", ds=ds) as attempt:
        attempt.write(valid_rows("user_features", n, ds=ds), "part-0000.parquet", shards=(0, 0))
        attempt.publish()


def test_without_features_there_is_nobody(lake: Lake) -> None:
    assert sample_people(lake, None, ["user_id"]) == ("", [])
    with pytest.raises(NotFound, match="no user features yet"):
        person_row(lake, "u1", None)


def test_a_person_is_read_from_the_newest_night_that_has_been(lake: Lake) -> None:
    for ds, n in (("2026-11-13", 3), ("2026-11-14", 5), ("2062-11-14", 9)):
        features(lake, ds, n)
    row = person_row(lake, user_name(4), None)
    assert (row["user_id"], row["ordinal"]) == (user_name(4), 4)
    with pytest.raises(NotFound, match="not in user_features of 2026-11-13") as missing:
        person_row(lake, user_name(4), "2026-11-13")
    assert user_name(4) not in missing.value.one_line()
    # A mistyped year is the newest only where there is no other.
    assert sample_people(lake, None, ["ordinal"])[0] == "2026-11-14"


def test_a_sample_is_small(lake: Lake) -> None:
    features(lake, "2026-11-14", SAMPLE + 50)
    ds, rows = sample_people(lake, "2026-11-14", ["ordinal"])
    assert (ds, len(rows), rows[0]) == ("2026-11-14", SAMPLE, {"ordinal": 0})


def test_a_campaign_is_made_of_materials_templates_and_channels() -> None:
    raws = (POLICY, SHOE, TEMPLATE, CHANNEL)
    documents = {(raw["kind"], raw["id"]): parse_document(raw) for raw in raws}
    campaign = parse_document(SALE | {"materials": ["shoe", "gone"]})
    assert keys_of(campaign, documents) == {
        ("campaign", "sale"),
        ("policy", "default"),
        ("channel", "fcm"),
        ("material", "shoe"),
        ("template", "plain"),
    }
