"""An answer counts if a named person gave it to this very question; all else means no."""

import pytest

from angelia.answers import OperatorAnswer, require_approval
from angelia.errors import GateClosed


def test_a_named_persons_approval_of_this_very_thing_counts():
    require_approval(OperatorAnswer("Approve", "ada", "v7"), "v7", "it is not done", fix="ask again")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OperatorAnswer(), "nobody answered"),
        (OperatorAnswer(by="ada", about="v7"), "nobody answered"),
        (OperatorAnswer("Approve", "", "v7"), "no named person answered"),
        (OperatorAnswer("Approve", " ", "v7"), "no named person answered"),
        (OperatorAnswer("approve", "ada", "v7"), "'approve' was not offered: Approve, Reject were"),
        (
            OperatorAnswer("Approve, Reject", "ada", "v7"),
            "'Approve, Reject' was not offered: Approve, Reject were",
        ),
        (OperatorAnswer("Approve", "ada", "v6"), "the answer is about v6, the question about v7"),
        (
            OperatorAnswer("Approve", "ada"),
            "the answer is about nothing that it names, the question about v7",
        ),
        (OperatorAnswer("Reject", "ada", "v7"), "the answer was Reject"),
    ],
)
def test_whatever_else_there_is_means_no(answer, why):
    with pytest.raises(GateClosed) as refused:
        require_approval(answer, "v7", "it is not done", fix="ask again")
    assert refused.value.one_line() == f"it is not done: {why}; ask again"
