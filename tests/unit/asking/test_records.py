"""The answer as a record: plain JSON, and no id."""

from __future__ import annotations

import json

from angelia.asking import why_text
from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.contracts.rows import user_name
from angelia.lake import Lake
from tests.unit.spark_jobs.test_plan_dispatch import DS


def ask(lake: Lake, number: int, campaign: str | None = None) -> Why:
    return why(lake, user_name(number), DS, campaign=campaign)


def test_the_answer_holds_no_id_and_is_json(tight: Lake) -> None:
    answer = ask(tight, 12)
    text = json.dumps(answer.as_dict(), default=str)
    assert user_name(12) not in text
    assert user_name(12) not in "\n".join(why_text.lines(answer))
    assert len(answer.hours) == 24
    assert answer.versions.plan == "decisions/ds=2026-11-14@1"
    assert any("conditions are not explained: no index is cited" in note for note in answer.notes)
