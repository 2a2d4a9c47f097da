"""Problems of documents: the path as people write it, and the nearest known name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from angelia.catalog.problems import DocumentProblem, Notice, nearest, problem_of, type_name


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    share: int = Field(ge=0)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner | None = None
    arms: list[Inner] = []
    either: str | int = 0


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"innr": {}}, "innr: unknown field; did you mean inner?"),
        ({"inner": {"shar": 1, "share": 1}}, "inner.shar: unknown field; did you mean share?"),
        (
            {"arms": [{"share": 1}, {"share": 1, "shares": 2}]},
            "arms[1].shares: unknown field; did you mean share?",
        ),
        ({"inner": {}}, "inner.share: is required"),
        ({"inner": {"share": -1}}, "inner.share: should be greater than or equal to 0, got -1"),
        ({"either": []}, "either: should be a text or a number"),
        ({"inner": {"share": "x" * 99}}, f"got '{'x' * 79}…"),
    ],
)
def test_an_error_is_said_at_its_path_in_plain_words(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Outer.model_validate(raw)
    assert says in str(problem_of(Outer, wrong.value.errors()[0]))


def test_paths_are_dotted_and_positions_bracketed() -> None:
    assert DocumentProblem(("arms", 1, "share_pct"), "x").dotted == "arms[1].share_pct"
    assert str(DocumentProblem((), "is no document")) == "is no document"


def test_a_notice_names_its_document_and_all_it_comes_from() -> None:
    notice = Notice(
        ("campaign", "sale"), DocumentProblem(("budget",), "is lost"), about=(("policy", "default"),)
    )
    assert str(notice) == "campaign/sale: budget: is lost"
    assert notice.keys == {("campaign", "sale"), ("policy", "default")}


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert nearest("womn", ["women", "men"]) == "; did you mean women?"
    assert nearest("xyz", ["women", "men"]) == "; one of women, men"
    assert nearest("xyz", []) == ""
    assert [type_name(value) for value in (None, "a", [], {}, 1)] == [
        "nothing", "a text", "a list", "a mapping", "a int",
    ]  # fmt: skip
