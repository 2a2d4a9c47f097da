"""A message, its person and its catalog, and what was decided."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.deciding import HOUR_US, Verdicts, decide
from angelia.intake.dispatching.device_day import DeviceDay
from angelia.intake.dispatching.people import Contents

NOON = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1e6)


def contents(**changes: dict[str, Any]) -> Contents:
    """Return the sample catalog with changes to documents, by id."""
    raws = [{**raw, **changes.get(raw["id"], {})} for raw in sample_night.DOCUMENTS]
    return Contents(catalog_of(StoredDocument(parse_document(raw), 1) for raw in raws))


def message(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "client": "shop", "id": f"{number:032x}", "campaign_id": "sale", "user_id": "u1",
        "class": "marketing",
        "channels": "", "variables": "{}", "priority": 1, "send_us": NOON, "expires_us": 0, **changes,
    }  # fmt: skip


def verdicts_of(
    catalog: Contents,
    *rows: dict[str, Any],
    now: int = NOON,
    addresses: dict[tuple[str, str], list[str]] | None = None,
    day: DeviceDay | None = None,
    **person: Any,
) -> Verdicts:
    known = {
        "user_id": "u1", "ordinal": 1, "timezone": "UTC", "locale": "en", "device_vendor": None,
        "opted_out_topics": [], "is_suppressed": False, **person,
    }  # fmt: skip
    return decide(
        catalog, {"u1": known}, addresses or {("u1", "fcm"): ["a"]}, rows or [message()], now, day=day
    )


def outcome(verdicts: Verdicts) -> str | tuple[str, int]:
    if verdicts.chosen:
        return "chosen"
    if verdicts.postponed:
        (_, until, why), *_ = verdicts.postponed
        return why, (until - NOON) // HOUR_US
    return verdicts.refused[0][1]
