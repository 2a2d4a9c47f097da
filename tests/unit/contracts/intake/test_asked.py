"""What was asked for by REST: steps stand with their message, its words nowhere."""

from __future__ import annotations

from angelia.contracts.intake.asked import INTAKE_MESSAGES, INTAKE_STEPS, INTAKE_USAGE, OF_INTAKE


def test_steps_are_partitioned_as_their_messages() -> None:
    assert INTAKE_STEPS.partition == INTAKE_MESSAGES.partition == ("ds", "accept_hour")


def test_no_words_of_a_message_reach_the_lake() -> None:
    """People are named by their id alone: neither address nor variables nor codes are copied."""
    personal = {column.name for contract in OF_INTAKE for column in contract.columns if column.personal}
    assert personal == {"user_id", "external_id"}
    assert not {"variables", "address", "code"} & set(INTAKE_MESSAGES.names)


def test_every_figure_of_usage_may_be_added_up() -> None:
    figures = [name for name in INTAKE_USAGE.names if name not in INTAKE_USAGE.key]
    assert all(name.startswith(("n_", "queued_after")) for name in figures)
