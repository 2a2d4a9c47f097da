"""An answer counts if a named person gave it to this very question; all else means no."""

import pytest

from angelia.answers import Answer, require_approval
from angelia.errors import GateClosed


def test_a_named_persons_approval_of_this_very_thing_counts():
    require_approval(Answer("Approve", "ada", "v7"), "v7", "it is not done", fix="ask again")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(), "nobody answered"),
        (Answer(by="ada", about="v7"), "nobody answered"),
        (Answer("Approve", "", "v7"), "no named person answered"),
        (Answer("Approve", " ", "v7"), "no named person answered"),
        (Answer("approve", "ada", "v7"), "'approve' was not offered: Approve, Reject were"),
        (Answer("Approve, Reject", "ada", "v7"), "'Approve, Reject' was not offered: Approve, Reject were"),
        (Answer("Approve", "ada", "v6"), "the answer is about v6, the question about v7"),
        (Answer("Approve", "ada"), "the answer is about nothing that it names, the question about v7"),
        (Answer("Reject", "ada", "v7"), "the answer was Reject"),
    ],
)
def test_whatever_else_there_is_means_no(answer, why):
    with pytest.raises(GateClosed) as refused:
        require_approval(answer, "v7", "it is not done", fix="ask again")
    assert refused.value.one_line() == f"it is not done: {why}; ask again"
