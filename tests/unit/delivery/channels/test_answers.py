"""What a code in a body means, and what the status says where there is none."""

from __future__ import annotations

import pytest

from angelia.delivery.channels.answers import judge, provider_id
from angelia.transport.wire import Answer

ERRORS = {"11": "auth", "-1": "retry"}


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (200, 11, "auth", "11"),
        (200, "11", "auth", "11"),
        (500, 11, "auth", "11"),
        (200, -1, "retry", "-1"),
        # A code that the table lacks: the status decides, else it is this message that is refused.
        (503, 99, "retry", "99"),
        (200, 99, "rejected", "99"),
        # No code: a success may have been taken, a failure goes by its status.
        (200, None, "ambiguous", "answer_without_code"),
        (204, "", "ambiguous", "answer_without_code"),
        (200, True, "ambiguous", "answer_without_code"),
        (200, [11], "ambiguous", "answer_without_code"),
        (300, None, "rejected", "HTTP_300"),
        (401, None, "halt", "HTTP_401"),
        (429, None, "throttled", "HTTP_429"),
        (418, None, "rejected", "HTTP_418"),
    ],
)
def test_the_code_goes_before_the_status(status: int, code: object, kind: str, reason: str) -> None:
    verdict = judge(Answer(status), code, ERRORS)
    assert (verdict.kind, verdict.reason) == (kind, reason)


def test_a_provider_may_have_statuses_of_its_own() -> None:
    assert judge(Answer(401), None, ERRORS, {401: "auth"}).kind == "auth"
    assert judge(Answer(403), None, ERRORS, {401: "auth"}).kind == "rejected"


@pytest.mark.parametrize(
    ("value", "name"), [("m", "m"), (7, "7"), (0, "0"), ("", None), (None, None), (True, None), (["m"], None)]
)
def test_an_id_is_a_text_or_a_number(value: object, name: str | None) -> None:
    assert provider_id(value) == name
