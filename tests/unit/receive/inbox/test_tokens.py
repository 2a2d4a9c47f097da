"""Only a person's own young token opens an inbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.receive.callers import NOW, WORKER, Post
from tests.unit.receive.inbox.given import USER, token


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "x" * 32}, {"aud": "other"}, {"exp": None}, {"sub": None}, {"exp": int(NOW.timestamp())},
        {"exp": int((NOW + timedelta(days=2)).timestamp())},
    ],
)  # fmt: skip
def test_without_a_persons_young_token_nothing_is_shown(changes: dict[str, Any], post: Post) -> None:
    user = changes.pop("sub", USER)
    given = token(user, **changes) if user else token(sub=None, **changes)
    assert post("/inbox", b"", given, "GET")[0] == 401
    assert post("/inbox/marks", b"{}", given)[0] == 401
    assert post("/inbox", b"", {}, "GET")[0] == 401
    assert post("/inbox", b"", {"authorization": f"Bearer {WORKER}"}, "GET")[0] == 401
