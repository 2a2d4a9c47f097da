"""Message encryption for Web Push: `aes128gcm`, one record per message.

Source: RFC 8291 (key agreement, section 3) and RFC 8188 (content coding, section 2), read 2026-11-28.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_BYTES = 4096
# Salt, record size, key length, key, and within the record a delimiter and the tag.
OVERHEAD_BYTES = 16 + 4 + 1 + 65 + 1 + 16
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
_LAST = b"\x02"  # the delimiter of a last record


class SubscriptionKeys(NamedTuple):
    """A subscription's keys: the public point (65 bytes) and the secret (16 bytes)."""

    point: bytes
    secret: bytes


def decode(text: str) -> bytes:
    """Return base64url bytes, padded or not. Raises: ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def encode(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as an uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encrypt(
    text: bytes,
    receiver: SubscriptionKeys,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return a message as only the receiver can read it; key and salt are fresh unless given.

    Raises:
        ValueError: the receiver's point is not on the curve, or its secret is not 16 bytes.
    """
    if len(receiver.secret) != 16:
        raise ValueError("the secret is not 16 bytes")
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    salt = os.urandom(16) if salt is None else salt
    point = point_of(sender.public_key())
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver.point)
    key, nonce = _keys(sender.exchange(ec.ECDH(), other), receiver, point, salt)
    record = AESGCM(key).encrypt(nonce, text + _LAST, None)
    return salt + struct.pack("!IB", RECORD_BYTES, len(point)) + point + record


def encrypt_repeatably(text: bytes, receiver: SubscriptionKeys, seed: bytes) -> bytes:
    """Return a message encrypted with key and salt drawn from itself and a seed.

    A message tried again then has the bytes of its first try, by which the ledger knows it. Like RFC 6979's
    nonces: another text or receiver has another key, and without the seed nobody can make one.

    Raises:
        ValueError: see `encrypt`.
    """
    message = receiver.point + receiver.secret + text
    drawn = HKDF(hashes.SHA256(), 64, hashlib.sha256(message).digest(), b"angelia webpush").derive(seed)
    # 48 bytes taken modulo the order are uniform to one in 2 to the 128 (FIPS 186-5, A.2.1).
    scalar = int.from_bytes(drawn[:48], "big") % (_ORDER - 1) + 1
    return encrypt(text, receiver, ec.derive_private_key(scalar, ec.SECP256R1()), drawn[48:])


def decrypt(body: bytes, key: ec.EllipticCurvePrivateKey, secret: bytes) -> bytes:
    """Return the text of a body that was encrypted for a key; what a browser does.

    Raises:
        ValueError: it is damaged, or was encrypted for somebody else.
    """
    if len(body) < OVERHEAD_BYTES or body[20] != 65:
        raise ValueError("no aes128gcm body")
    salt, point, record = body[:16], body[21:86], body[86:]
    receiver = SubscriptionKeys(point_of(key.public_key()), secret)
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    cipher, nonce = _keys(key.exchange(ec.ECDH(), other), receiver, point, salt)
    try:
        text = AESGCM(cipher).decrypt(nonce, record, None).rstrip(b"\0")
    except InvalidTag:
        raise ValueError("the tag does not fit") from None
    if not text.endswith(_LAST):
        raise ValueError("no last record")
    return text[:-1]


def _keys(shared: bytes, receiver: SubscriptionKeys, point: bytes, salt: bytes) -> tuple[bytes, bytes]:
    info = b"WebPush: info\0" + receiver.point + point
    material = HKDF(hashes.SHA256(), 32, receiver.secret, info).derive(shared)
    return (
        HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material),
        HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material),
    )
