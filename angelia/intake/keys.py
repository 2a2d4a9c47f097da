"""API keys: made once and shown once, kept as a hash, with scopes and a rate.

A key is `ank_ID_SECRET`. The secret has 256 random bits, so one SHA-256 is enough: a slow hash protects short
secrets that people choose. A client may hold several keys, which is how a key is rotated.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.errors import InvalidInput, NotFound
from angelia.intake.database import answering, writing
from angelia.intake.tables import keys

SCOPES = ("write", "read", "cancel", "codes", "people")
CLIENT = r"[a-z0-9][a-z0-9_-]{0,31}"
_FORM = re.compile(r"ank_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_REMEMBER_S = 5.0  # a revoked key works at most this much longer


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept."""

    key_id: str
    client: str
    secret_hash: str
    scopes: tuple[str, ...]
    per_second: int
    made_us: int
    revoked_us: int

    @property
    def state(self) -> str:
        """Say whether the key opens anything."""
        return "revoked" if self.revoked_us else "in use"


class Keys:
    """The keys in the database, remembered for some seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._remembered: dict[str, tuple[float, Key | None]] = {}

    def make(self, client: str, scopes: Sequence[str], per_second: int, now_us: int) -> tuple[Key, str]:
        """Return a new key and its text, which is kept nowhere.

        Raises:
            InvalidInput: the client's name or a scope is not allowed.
        """
        if not re.fullmatch(CLIENT, client):
            raise InvalidInput(
                "a client's name must have another form",
                fix="use 1 to 32 lower-case letters, digits, - and _, the first a letter or digit",
            )
        if not scopes or not set(scopes) <= set(SCOPES):
            raise InvalidInput("a key needs scopes that exist", fix=f"give any of {', '.join(SCOPES)}")
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        key = Key(key_id, client, _hash(secret), ordered, per_second, now_us, 0)
        row = {name: getattr(key, name) for name in Key.__slots__} | {"scopes": " ".join(ordered)}
        with answering(self._engine), writing(self._engine) as connection:
            connection.execute(sa.insert(keys), row)
        return key, f"ank_{key_id}_{secret}"

    def every(self) -> list[Key]:
        """Return all keys, by client and age."""
        query = sa.select(keys).order_by(keys.c.client, keys.c.made_us, keys.c.key_id)
        with answering(self._engine), self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, key_id: str, now_us: int) -> None:
        """Let a key open nothing from now on.

        Raises:
            NotFound: no such key is in use.
        """
        change = sa.update(keys).where(keys.c.key_id == key_id, keys.c.revoked_us == 0)
        with answering(self._engine), writing(self._engine) as connection:
            if connection.execute(change.values(revoked_us=now_us)).rowcount == 0:
                raise NotFound(
                    "no key of this id is in use", fix="`angelia intake keys list` shows their ids"
                )

    def remembered(self, text: str) -> Key | bool | None:
        """Return what `check` would, without asking the database; False if it must be asked."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        known = self._remembered.get(form[1])
        if known is None or time.monotonic() - known[0] > _REMEMBER_S:
            return False
        return _matching(known[1], form[2])

    def check(self, text: str) -> Key | None:
        """Return the key that a client sent, None if it opens nothing."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        query = sa.select(keys).where(keys.c.key_id == form[1], keys.c.revoked_us == 0)
        with answering(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).first()
        key = None if row is None else _key(row)
        if len(self._remembered) > 10_000:  # somebody tries ids
            self._remembered.clear()
        self._remembered[form[1]] = (time.monotonic(), key)
        return _matching(key, form[2])


class Rates:
    """How many messages each key may still hand in: a bucket that a second refills."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: Key, number: int, now_s: float) -> float:
        """Take from a key's bucket; return 0, or after how many seconds there is room.

        A full bucket admits a batch that is larger than it, which is then paid off.
        """
        with self._lock:
            left, at = self._left.get(key.key_id, (float(key.per_second), now_s))
            left = min(float(key.per_second), left + (now_s - at) * key.per_second)
            needed = min(number, key.per_second)
            if left < needed:
                self._left[key.key_id] = (left, now_s)
                return (needed - left) / key.per_second
            self._left[key.key_id] = (left - number, now_s)
            return 0.0


def _matching(key: Key | None, secret: str) -> Key | None:
    return key if key is not None and hmac.compare_digest(key.secret_hash, _hash(secret)) else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: sa.Row) -> Key:  # type: ignore[type-arg]
    return Key(
        row.key_id,
        row.client,
        row.secret_hash,
        tuple(row.scopes.split()),
        row.per_second,
        row.made_us,
        row.revoked_us,
    )
