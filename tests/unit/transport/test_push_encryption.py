"""Web Push's encryption: the standard's example, repeats, and refusals."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from angelia.transport.push_encryption import (
    OVERHEAD_BYTES,
    SubscriptionKeys,
    decode,
    decrypt,
    encode,
    encrypt,
    encrypt_repeatably,
    point_of,
)


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(decode(text), "big"), ec.SECP256R1())


# RFC 8291, appendix A.
SENDER = private("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
BROWSER = private("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
RECEIVER = SubscriptionKeys(point_of(BROWSER.public_key()), decode("BTBZMqHH6r4Tts7J_aSIgg"))
TEXT = b"When I grow up, I want to be a watermelon"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6"
    "PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_specification_s_example_comes_out() -> None:
    body = encrypt(TEXT, RECEIVER, SENDER, decode("DGv6ra1nlYgDCS1FRnbzlw"))
    assert encode(body) == BODY
    assert len(body) == len(TEXT) + OVERHEAD_BYTES
    assert decrypt(decode(BODY), BROWSER, RECEIVER.secret) == TEXT


def test_a_message_tried_again_has_the_same_bytes() -> None:
    first = encrypt_repeatably(TEXT, RECEIVER, b"seed")
    assert first == encrypt_repeatably(TEXT, RECEIVER, b"seed")
    assert decrypt(first, BROWSER, RECEIVER.secret) == TEXT
    other = RECEIVER._replace(secret=bytes(16))
    more = [
        encrypt_repeatably(TEXT + b".", RECEIVER, b"seed"),
        encrypt_repeatably(TEXT, other, b"seed"),
        encrypt_repeatably(TEXT, RECEIVER, b"seat"),
    ]
    assert len({body[:86] for body in (first, *more)}) == 4, "each has its own salt and key"


def test_damage_and_foreign_keys_are_refused() -> None:
    body = decode(BODY)
    for damaged in (b"", body[:40], body[:-1], body[:-1] + b"\0", body[:20] + b"\x40" + body[21:]):
        with pytest.raises(ValueError):
            decrypt(damaged, BROWSER, RECEIVER.secret)
    with pytest.raises(ValueError):
        decrypt(body, SENDER, RECEIVER.secret)
    for point, secret in ((bytes(65), RECEIVER.secret), (RECEIVER.point, bytes(15))):
        with pytest.raises(ValueError):
            encrypt(TEXT, SubscriptionKeys(point, secret))
