"""Twilio's statuses and texts are believed by the signature over address and fields."""

from __future__ import annotations

from urllib.parse import urlencode

from angelia.lake import Lake
from angelia.receive.callbacks import readers_of
from angelia.receive.callbacks.base import Callback, form_signature
from angelia.receive.folding import fold
from tests.unit.receive.callbacks.given import FORM, A, B, kept, twilio
from tests.unit.receive.callers import CALLBACKS, NOW, Post, endpoints


def test_twilio_tells_what_became_of_a_text(lake: Lake, post: Post) -> None:
    query = f"dispatch_id={A}"
    assert twilio(post, query, MessageSid="SM1", MessageStatus="delivered", ErrorCode="")[1]["taken"] == 1
    assert twilio(post, query, MessageSid="SM2", MessageStatus="undelivered", ErrorCode="30005")[0] == 200
    assert twilio(post, query, MessageSid="SM3", MessageStatus="failed", ErrorCode="30007")[0] == 200
    assert twilio(post, query, MessageSid="SM4", MessageStatus="sent")[1]["ignored"] == 1
    assert twilio(post, "", MessageSid="SM5", MessageStatus="delivered")[1]["refused"] == [
        "[0]: no dispatch id"
    ]
    assert kept(lake) == [(A, "bounced", "filtered"), (A, "bounced", "hard"), (A, "delivered", None)]


def test_twilio_is_not_believed_for_another_address_or_body(lake: Lake, post: Post) -> None:
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    signature = form_signature("token", CALLBACKS["sms"]["url"] + f"?dispatch_id={A}", fields.items())
    headers = FORM | {"x-twilio-signature": signature}
    path, body = f"/callbacks/sms?dispatch_id={A}", urlencode(fields).encode()
    assert post(f"/callbacks/sms?dispatch_id={B}", body, headers)[0] == 401
    assert post(path, body + b"&Body=x", headers)[0] == 401
    assert post(path, body)[0] == 401
    assert kept(lake) == []
    assert post(path, body, headers)[0] == 200


def test_a_stop_word_is_one_of_its_account_s_languages() -> None:
    """`stop` holds in all; another language's word is a text like any other."""
    for languages, taken in ((["de"], ["Stopp", "stop"]), (["es", "de"], ["Stopp", "Baja", "stop"])):
        account = CALLBACKS["sms"] | {"languages": languages}
        reader = readers_of({"sms": account}, lambda _, address: address)["sms"]
        stops = []
        for text in ("Stopp", "Baja", "stop", "退订"):
            fields = {"MessageSid": "SM1", "From": "+49151000", "Body": text}
            read = reader.read(Callback({}, "", urlencode(fields).encode(), NOW))
            stops += [text] if read.events else []
        assert stops == taken


def test_a_text_that_says_stop_closes_its_owners_channel(lake: Lake, post: Post) -> None:
    old, new = ("u1", "sms", "+49 151 000", 9), ("u2", "sms", "+49151000", 2)
    assert twilio(post, MessageSid="SM1", From="+49151000", Body="Stopp!")[1]["taken"] == 1
    assert twilio(post, MessageSid="SM2", From="+49151000", Body="please do not stop")[1]["ignored"] == 1
    assert fold(lake, NOW)["unknown"] == 1  # nobody has this number yet, so it waits
    endpoints(lake, old, new, ("u3", "email", "+49151000", 1))
    assert fold(lake, NOW)["suppressions"] == 1
    assert fold(lake, NOW) == {}
    (entry,) = lake.read_log("suppressions").to_pylist()
    assert (entry["user_id"], entry["channel"], entry["reason"]) == ("u2", "sms", "unsubscribed")
    assert entry["address_hash"] is None
    assert not any(b"49151000" in lake.store.read(key) for key in lake.store.list("received"))
