"""Which front end answers, by path."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.sandbox.front import Front


class Answering:
    """A front end that answers with its name."""

    def __init__(self, name: str, paths: tuple[bytes, ...] = (), posted: tuple[bytes, ...] = ()) -> None:
        self.name, self.paths, self.posted, self.phones = name, paths, posted, f"phones of {name}"

    def answer(self, *_: Any) -> str:
        return self.name


FRONT: Any = Front(
    Answering("fcm"),  # type: ignore[arg-type]
    Answering("apns"),  # type: ignore[arg-type]
    Answering("webhook"),  # type: ignore[arg-type]
    Answering("oppo", (b"/server/v1/",)),  # type: ignore[arg-type]
    Answering("sns", (), (b"/",)),  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        (b"POST", b"/3/device/ab", "apns"),
        (b"POST", b"/hook/a", "webhook"),
        (b"POST", b"/server/v1/auth", "oppo"),
        (b"POST", b"/", "sns"),
        (b"GET", b"/", "fcm"),
        (b"POST", b"/v1/projects/p/messages:send", "fcm"),
        (b"GET", b"/elsewhere", "fcm"),
    ],
)
def test_the_path_chooses_who_answers(method: bytes, path: bytes, name: str) -> None:
    assert FRONT.answer(method, path, b"", (), b"") == name
    assert FRONT.phones == "phones of fcm"
