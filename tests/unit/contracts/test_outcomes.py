"""Each word of an outcome or guarantee is declared once; SQL spells declared ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from angelia.catalog.documents import Campaign
from angelia.contracts import CONTRACTS, dataset
from angelia.contracts.derived import DECISION, DECISION_FIELDS
from angelia.contracts.markdown import document
from angelia.contracts.outcomes import DECIDED, GUARANTEES, LEDGER, MACHINE
from angelia.delivery.ledger.outcomes import RANK

ROOT = Path(__file__).resolve().parents[3]
# An outcome compared with, or listed among, quoted words.
COMPARED = re.compile(r"\boutcome\s*(?:=|<>|(?:NOT\s+)?IN)\s*(\([^)]*\)|'\w+')")


def test_ledger_and_manifest_allow_exactly_the_words() -> None:
    assert dataset("delivery_ledger")["outcome"].allowed == tuple(LEDGER)
    assert dataset("dispatch_manifest")["guarantee"].allowed == tuple(GUARANTEES)
    assert set(RANK) == set(LEDGER)


def test_a_campaign_promises_one_of_the_guarantees() -> None:
    assert get_args(Campaign.model_fields["guarantee"].annotation) == tuple(GUARANTEES)


def test_a_decision_has_the_documented_fields() -> None:
    assert [field.name for field in DECISION] == [field.name for field in DECISION_FIELDS]
    assert dataset("decisions")["choices"].fields == DECISION_FIELDS


@pytest.mark.parametrize("words", [DECIDED, LEDGER, GUARANTEES])
def test_the_page_of_datasets_explains_each_word(words: dict[str, str]) -> None:
    page = document(CONTRACTS.values())
    assert all(f"`{word}`: {meaning}" in page for word, meaning in words.items())


def test_every_outcome_in_sql_is_one_of_the_words() -> None:
    sources = [*(ROOT / "sql").rglob("*.sql"), ROOT / "angelia/quality/invariants.py"]
    named = {
        word
        for path in sources
        for listed in COMPARED.findall(path.read_text("utf-8"))
        for word in re.findall(r"'(\w+)'", listed)
    }
    assert len(named) > 5
    assert named <= {*DECIDED, *LEDGER}


def test_sql_leaves_out_the_opens_of_programs_by_their_word() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "sql").rglob("*.sql")]
    words = [word for text in sources for word in re.findall(r"reason IS DISTINCT FROM '(\w+)'", text)]
    assert len(words) > 1
    assert set(words) == {MACHINE}


def test_every_reason_is_assigned_by_somebody() -> None:
    planners = [ROOT / "angelia/planning/eligibility.py", ROOT / "spark_jobs/plan_dispatch.py"]
    text = "".join(path.read_text("utf-8") for path in planners)
    assert {word for word in DECIDED if f"outcomes.{word.upper()}" not in text} == set()
