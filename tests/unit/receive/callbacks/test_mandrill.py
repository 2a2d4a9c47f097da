"""Mandrill's events are believed by the signature over the address and the form."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from angelia.lake import Lake
from angelia.receive.callbacks.base import form_signature
from tests.unit.receive.callbacks.given import FORM, MS, A, B, kept
from tests.unit.receive.callers import CALLBACKS, Post


def mandrill(post: Post, *events: dict[str, Any], key: str = "hook") -> tuple[int, dict[str, Any]]:
    fields = {"mandrill_events": json.dumps(events)}
    signature = form_signature(key, CALLBACKS["mail_two"]["url"], fields.items())
    return post("/callbacks/mail_two", urlencode(fields).encode(), FORM | {"x-mandrill-signature": signature})


def test_mandrill_tells_of_mails(lake: Lake, post: Post) -> None:
    def event(kind: str, dispatch: str = A, **more: Any) -> dict[str, Any]:
        mail = {
            "metadata": {"dispatch_id": dispatch},
            "email": "ann@mail.example",
            "diag": more.pop("diag", ""),
        }
        return {"event": kind, "_id": "m1", "ts": MS // 1000, "msg": mail, **more}

    events = [
        event("open", user_agent="Mozilla/5.0"), event("open", B, user_agent="Mozilla/5.0 (iPhone; ...)"),
        event("hard_bounce", diag="smtp;550 5.1.1 <ann@mail.example> unknown"), event("spam", B),
        event("click", user_agent="Barracuda Sentinel"),
        event("click", "cd" * 16, user_agent="Mozilla/5.0 (X11)"),
        event("send"), {"event": "open"},
    ]  # fmt: skip
    assert mandrill(post, *events, key="other")[0] == 401
    status, answer = mandrill(post, *events)
    assert (status, answer["taken"], answer["ignored"], len(answer["refused"])) == (200, 6, 1, 1)
    assert kept(lake) == [
        (A, "bounced", "5.1.1"), (A, "opened", "machine"), (A, "opened", "machine"),
        (B, "complaint", None), (B, "opened", None), ("cd" * 16, "opened", "click"),
    ]  # fmt: skip
    assert not any(b"ann@" in lake.store.read(key) for key in lake.store.list("received"))
    assert post("/callbacks/mail_two", b"", method="HEAD")[0] == 200
