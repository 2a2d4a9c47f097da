"""The generated types say what is required, and name every field of the document."""

from __future__ import annotations

from angelia.client import bodies
from angelia.intake.message import IntakeMessage


def test_a_message_has_the_fields_of_the_intakes_own() -> None:
    declared = bodies.IntakeMessage.__annotations__
    fields = {its.alias or name: its for name, its in IntakeMessage.model_fields.items()}
    assert set(declared) == set(fields)
    required = {name for name, its in fields.items() if its.is_required()}
    optional = {name for name, its in declared.items() if "NotRequired" in str(its)}
    assert set(fields) - optional == required
