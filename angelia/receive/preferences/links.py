"""Links to a person's preferences: opaque, for one purpose, valid for a limited time.

Surprise: the person is encrypted (Fernet), so neither an address nor a proxy's log names them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken

PAGE, CONFIRM, ADDRESS = "page", "confirm", "address"
LIFE_S = {PAGE: 30 * 86_400, CONFIRM: 2 * 86_400, ADDRESS: 2 * 86_400}


class Links:
    """Makes and opens tokens with one secret."""

    def __init__(self, secret: str) -> None:
        self._keys = {
            purpose: Fernet(
                base64.urlsafe_b64encode(hashlib.sha256(f"{purpose}\x1f{secret}".encode()).digest())
            )
            for purpose in LIFE_S
        }

    def make(self, purpose: str, words: list[str], now: datetime) -> str:
        """Return a token that holds these words: the person, and what is confirmed."""
        text = json.dumps(words).encode()
        return self._keys[purpose].encrypt_at_time(text, int(now.timestamp())).decode()

    def open(self, purpose: str, token: str, now: datetime) -> list[str] | None:
        """Return a token's words, None if it is not ours, for another purpose, or expired."""
        try:
            text = self._keys[purpose].decrypt_at_time(
                token.encode("ascii", "replace"), LIFE_S[purpose], int(now.timestamp())
            )
        except InvalidToken:
            return None
        return [str(word) for word in json.loads(text)]
