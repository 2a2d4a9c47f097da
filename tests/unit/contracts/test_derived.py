"""What the night writes: exact, by shards, and decisions with every field declared."""

from __future__ import annotations

from angelia.contracts import CONTRACTS
from angelia.contracts.derived import DECISION, DECISION_FIELDS, DECISIONS, DERIVED, p
from angelia.contracts.devices.endpoints import OF_DEVICES
from angelia.contracts.outcomes import DECIDED
from angelia.contracts.planned.pairs import OF_PLANS
from angelia.contracts.sources import SOURCES


def test_each_dataset_is_declared_once() -> None:
    names = [contract.name for contract in (*SOURCES, *OF_DEVICES, *DERIVED, *OF_PLANS)]
    assert len(names) == len(set(names)) == len(CONTRACTS)


def test_nothing_that_we_write_may_be_wrong() -> None:
    """Tolerances are for other systems' rows; ours are a defect."""
    tolerant = [
        f"{contract.name}.{column.name}"
        for contract in DERIVED
        for column in contract.columns
        if column.tolerated_pct
    ]
    assert tolerant == []
    assert {contract.key_tolerated_pct for contract in DERIVED} == {0.0}


def test_rows_of_an_ordinal_lie_in_folders_of_shards() -> None:
    """Jobs read one group of shards: a dataset by ordinal without such folders is read whole."""
    by_ordinal = [contract for contract in DERIVED if contract.key[:1] == ("ordinal",)]
    assert len(by_ordinal) > 5
    assert [contract.name for contract in by_ordinal if "shards" not in contract.layout] == []


def test_a_decision_is_the_struct_of_its_fields() -> None:
    assert DECISION.names == [field.name for field in DECISION_FIELDS]
    assert DECISIONS["choices"].type.value_type == DECISION
    outcome = next(field for field in DECISION_FIELDS if field.name == "outcome")
    assert outcome.words == DECIDED


def test_a_probability_lies_between_nought_and_one() -> None:
    assert (p("p", "any").minimum, p("p", "any").maximum) == (0.0, 1.0)
    assert p("p", "any", nullable=True).nullable
