"""One-time codes: made here, sent as messages, verified once, never kept as they are.

Grain: code. A code is a keyed hash of its message's random id and its person, cut to digits, so whoever sends
it makes it again at the last moment: neither the database nor the lake nor a log ever holds it. Reads and
writes `intake_codes` and `intake_code_uses`. Surprise: a message carries a mark in place of its code; without
the key (`ANGELIA_CODES_KEY`, else HOME/codes.key) nobody can turn one into the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.errors import AngeliaError, InvalidInput
from angelia.intake.database import answering, kept, writing
from angelia.intake.message import Draft, Refusal
from angelia.intake.tables import code_locks, code_uses, codes, messages

DIGITS = 6
ATTEMPTS = 5
COOL_DOWN_US = 30_000_000
HOUR_US = 3_600_000_000
PER_PERSON, PER_NETWORK, PER_ADDRESS = 5, 30, 5  # codes an hour
MARK = re.compile(r"otp:([0-9a-f]{32})")
TOO_MANY_TO_ADDRESS = "too_many_codes"  # a step's reason


@dataclass(frozen=True)
class MadeCode:
    """A code that is on its way; what it is nobody learns from here."""

    id: str
    accepted_us: int
    expires_us: int


@dataclass(frozen=True)
class Verified:
    """Whether a code was right, and how many tries are left if it was not."""

    is_right: bool
    attempts_left: int


@dataclass(frozen=True)
class Limited:
    """Asked too often, and after how many seconds it may be asked again."""

    refusal: Refusal
    retry_s: float


class Secret:
    """The key from which codes are made."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, home: Path) -> Secret:
        """Return the key of `ANGELIA_CODES_KEY`, else of HOME/codes.key, which is made if absent.

        Raises:
            InvalidInput: it is shorter than 32 characters.
            AngeliaError: the file can be neither read nor made.
        """
        given = os.environ.get("ANGELIA_CODES_KEY")
        if given is None:
            path = home / "codes.key"
            try:
                home.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    _make(path)
                given = path.read_text("ascii").strip()
            except OSError as error:
                raise AngeliaError(
                    f"the key of one-time codes: {error.strerror}", fix="make HOME/codes.key readable"
                ) from None
        if len(given) < 32:
            raise InvalidInput(
                "the key of one-time codes is too short", fix="give ANGELIA_CODES_KEY 32 random characters"
            )
        return cls(given.encode())

    def code(self, message: str, user: str) -> str:
        """Return a message's code: six digits, uniform to one part in 10^13."""
        return f"{int.from_bytes(self._mac('code', message, user)[:8], 'big') % 10**DIGITS:0{DIGITS}d}"

    def hashed(self, *parts: str) -> str:
        """Return a keyed hash (64 hex digits)."""
        return self._mac(*parts).hex()

    def reveal(self, user: str, fields: str) -> str:
        """Return a manifest row's fields with the code in the place of its mark."""
        if "otp:" not in fields:
            return fields
        values: dict[str, Any] = json.loads(fields)
        for name, value in values.items():
            if isinstance(value, str) and (mark := MARK.fullmatch(value)):
                values[name] = self.code(mark[1], user)
        return json.dumps(values, sort_keys=True, ensure_ascii=False)

    def _mac(self, *parts: str) -> bytes:
        return hmac.new(self._key, "\x1f".join(parts).encode(), hashlib.sha256).digest()


class Codes:
    """The codes of all clients; safe to use from several threads and processes."""

    def __init__(self, engine: Engine, secret: Secret) -> None:
        self._engine, self._secret = engine, secret

    def make(self, draft: Draft, lives_us: int, network: str | None) -> MadeCode | Limited:
        """Keep a code's message and the code's hash, or return why none is sent.

        Older codes of the client for this person end. Who asks again is sent the next one by the next of the
        message's channels.

        Args:
            draft: the message; its variable `code` becomes the mark.
            lives_us: how long the code is valid.
            network: the address (IPv4 or IPv6) of whoever asks, None if unknown.
        """
        row, now_us = dict(draft.row), int(draft.row["accepted_us"])
        message, user, client = row["id"], row["user_id"], row["client"]
        person = self._secret.hashed("person", client, user)
        uses = {person: PER_PERSON}
        if network is not None:
            uses[self._secret.hashed("network", client, network_of(network))] = PER_NETWORK
        expires_us = now_us + lives_us
        row["variables"] = json.dumps(json.loads(row["variables"]) | {"code": f"otp:{message}"})
        row["expires_us"] = min(row["expires_us"] or expires_us, expires_us)
        row["priority"] = 0
        code = {
            "client": client,
            "id": message,
            "person_hash": person,
            "code_hash": self._secret.hashed("verify", message, self._secret.code(message, user)),
            "made_us": now_us,
            "expires_us": expires_us,
            "attempts_left": ATTEMPTS,
            "verified_us": 0,
        }
        with answering(self._engine), writing(self._engine) as connection:
            # Always in the same order: two that ask at once would otherwise wait for each other for ever.
            for name in sorted(uses):
                _lock(connection, name)
            last = connection.execute(
                sa.select(sa.func.max(codes.c.made_us)).where(codes.c.person_hash == person)
            ).scalar()
            # Before the uses are counted: who asks too soon is told to wait, and uses up nothing.
            if last is not None and now_us < last + COOL_DOWN_US:
                return _limited("cool_down", "a code was sent a moment ago", last + COOL_DOWN_US - now_us)
            for name, most in uses.items():
                wait_us = _wait_us(connection, name, most, now_us)
                if wait_us:
                    return _limited("too_many_codes", "too many codes were asked for in an hour", wait_us)
            turn = _times(connection, person, now_us)
            # Who asks again was not reached by the last channel: each further code begins with the next.
            if turn and row["channels"]:
                names = row["channels"].split(",")
                at = len(turn) % len(names)
                row["channels"] = ",".join(names[at:] + names[:at])
            older = sa.update(codes).where(codes.c.person_hash == person, codes.c.attempts_left > 0)
            connection.execute(older.values(attempts_left=0))
            connection.execute(sa.insert(codes), code)
            connection.execute(
                sa.insert(code_uses), [{"used_by": name, "id": message, "at_us": now_us} for name in uses]
            )
            connection.execute(sa.insert(messages), row)
        return MadeCode(message, now_us, expires_us)

    def verify(self, client: str, code_id: str, given: str, now_us: int) -> Verified:
        """Return whether a code is right; each code is right once, and every try counts.

        Unknown, spent, old and wrong codes take the same steps, so time tells none from another.
        """
        c = codes.c
        mine = sa.and_(c.client == client, c.id == code_id)
        hashed = self._secret.hashed("verify", code_id, given)
        with answering(self._engine), writing(self._engine) as connection:
            trying = sa.update(codes).where(
                mine, c.attempts_left > 0, c.verified_us == 0, c.expires_us > now_us
            )
            counts = connection.execute(trying.values(attempts_left=c.attempts_left - 1)).rowcount == 1
            row = connection.execute(sa.select(c.code_hash, c.attempts_left).where(mine)).first()
            standing, left = (row.code_hash, int(row.attempts_left)) if row is not None else ("0" * 64, 0)
            is_right = hmac.compare_digest(standing, hashed) and counts
            # Written either way: a wrong code takes the steps of a right one.
            spent = {"verified_us": now_us, "attempts_left": 0} if is_right else {"made_us": c.made_us}
            connection.execute(sa.update(codes).where(mine).values(spent))
        return Verified(is_right, 0 if is_right or not counts else left)

    def reveal(self, user: str, fields: str) -> str:
        """See `Secret.reveal`."""
        return self._secret.reveal(user, fields)

    def admit(self, addressed: Sequence[tuple[str, str, str]], now_us: int) -> set[str]:
        """Return the ids of codes that go to an address too many went to already.

        Args:
            addressed: (message id, channel, address) of codes that are about to be sent.
        """

        def judge(connection: Connection) -> set[str]:
            refused = set()
            for message, channel, address in addressed:
                name = self._secret.hashed("address", channel, address)
                _lock(connection, name)
                known = sa.select(code_uses.c.id).where(
                    code_uses.c.used_by == name, code_uses.c.id == message
                )
                if connection.execute(known).first() is not None:
                    continue
                if _wait_us(connection, name, PER_ADDRESS, now_us):
                    refused.add(message)
                else:
                    connection.execute(
                        sa.insert(code_uses), {"used_by": name, "id": message, "at_us": now_us}
                    )
            return refused

        return kept(self._engine, judge)


def network_of(text: str) -> str:
    """Return the network an address is of: /24 of IPv4, /48 of IPv6. Raises: ValueError."""
    given = ipaddress.ip_address(text)
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return str(ipaddress.ip_network((given, 24 if given.version == 4 else 48), strict=False))


def _limited(code: str, reason: str, wait_us: int) -> Limited:
    return Limited(Refusal(code, "", reason), wait_us / 1e6)


def _lock(connection: Connection, name: str) -> None:
    """Let nobody else judge this name until the transaction ends; SQLite locks the file."""
    if connection.dialect.name == "sqlite":
        return
    with contextlib.suppress(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(sa.insert(code_locks), {"used_by": name})
    connection.execute(sa.select(code_locks).where(code_locks.c.used_by == name).with_for_update())


def _wait_us(connection: Connection, name: str, most: int, now_us: int) -> int:
    """Return how long a name has to wait, 0 if its last hour has fewer codes than allowed."""
    times = _times(connection, name, now_us)
    return times[len(times) - most] + HOUR_US - now_us if len(times) >= most else 0


def _times(connection: Connection, name: str, now_us: int) -> list[int]:
    """Return when a name used codes in the last hour, oldest first."""
    c = code_uses.c
    query = sa.select(c.at_us).where(c.used_by == name, c.at_us > now_us - HOUR_US).order_by(c.at_us)
    return list(connection.execute(query).scalars())


def _make(path: Path) -> None:
    """Create a key file that only its owner reads; whoever comes second finds it there, whole."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink()
