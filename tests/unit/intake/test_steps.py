"""A step is noted once, and a late report changes no later status."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Engine

from angelia.intake.dispatching.steps import OutcomeStep
from angelia.intake.store import IntakeStore
from tests.unit.intake.conftest import NOW_US, Make
from tests.unit.intake.taking import claim, of


def test_a_step_is_noted_once_and_never_goes_back(any_engine: Engine, draft: Make) -> None:
    store, batches = IntakeStore(any_engine), of(any_engine)
    store.accept([draft()])
    batch = claim(batches, NOW_US)
    assert batch is not None
    (_, message), *_ = batch.members
    sent = OutcomeStep("shop", message, "sent", NOW_US + 5, "sent", channel="fcm")
    failed = OutcomeStep("shop", message, "failed", NOW_US + 4, "failed", "gone:x", "sms")
    batches.note(batch, [sent, failed], [], is_over=False)
    batches.note(batch, [sent, failed], [], is_over=True)
    opened = OutcomeStep("shop", message, "opened", NOW_US + 9, "opened", channel="fcm")
    assert batches.note_receipts([opened]) == 1
    assert batches.note_receipts([opened, replace(opened, step="delivered", status="delivered")]) == 1
    row = store.get("shop", message)
    assert row is not None
    assert (row["status"], row["status_us"]) == ("opened", NOW_US + 9)
    noted = store.steps("shop", [message])[message]
    assert [step["step"] for step in noted] == ["failed", "sent", "delivered", "opened"] or [
        step["step"] for step in noted
    ] == ["failed", "sent", "opened", "delivered"]
