"""What answers mean to adapters whose provider puts a code into the body."""

from __future__ import annotations

from collections.abc import Mapping

from angelia.delivery.channels.base import AMBIGUOUS, HALT, REJECTED, RETRY, THROTTLED, Verdict
from angelia.transport.wire import Answer

# HTTP status -> meaning, where an answer has no code, or one that the adapter's table does not have.
STATUSES: dict[int, str] = {
    401: HALT, 403: HALT, 404: HALT, 408: RETRY, 429: THROTTLED, 500: RETRY, 502: RETRY, 503: RETRY,
    504: RETRY,
}  # fmt: skip


def judge(
    answer: Answer, code: object, errors: Mapping[str, str], statuses: Mapping[int, str] = STATUSES
) -> Verdict:
    """Return what a code that is not the one of success means.

    Without a code the status decides; a success without one is ambiguous, for the message may be taken.
    """
    if isinstance(code, bool) or not isinstance(code, int | str) or code == "":
        if 200 <= answer.status < 300:
            return Verdict(AMBIGUOUS, "answer_without_code")
        return Verdict(statuses.get(answer.status, REJECTED), f"HTTP_{answer.status}")
    word = str(code)
    return Verdict(errors.get(word, statuses.get(answer.status, REJECTED)), word)


def provider_id(value: object) -> str | None:
    """Return a provider's id of a message; None where the answer has none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) or None
