"""Scripted faults: which request meets which fault.

A rule file is YAML:

    seed: 7
    rules:
      - match: {token_prefix: gone-}
        # also: nth: 5 | every: 10 | probability: 0.1 | dispatch_prefix: … | max: 100 | after_s: 5 | for_s: 20
        then: {status: 404, error: UNREGISTERED}
        # also: retry_after: "2" | delay_s: 1.5 | drip: true | reset: before|after | goaway: true
        # also: refuse: true | silent: true
        # raw front only: reset: body|cut | goaway: after|graceful|lost | rst: CANCEL
        # raw front only: header_bytes: 100000 | garbage: true
    connections:                                       # raw front only: the fate of a connection
      - match: {nth: 1}                                # also: every, probability, max
        then: {handshake: close}                       # or: silent, reset, cut, clear, after

The first rule that matches holds. What is broken after the message was read (`reset: after`, `drip`,
`silent`, …) counts as received by the phone: the answer is lost, the push is not. Only `reset: before`,
`goaway: true` and `refuse` leave the phone without it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from angelia.errors import InvalidInput, without_addresses
from angelia.plain_yaml import PlainLoader


class Match(BaseModel):
    """Selects messages; all that is given must hold.

    `nth` and `every` count the messages that match the prefixes; the rule begins `after_s` after the first of
    them, and holds `for_s`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    token_prefix: str = ""
    dispatch_prefix: str = ""
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    max: int | None = Field(default=None, ge=1)
    after_s: float = Field(default=0.0, ge=0)
    for_s: float | None = Field(default=None, gt=0)


class Then(BaseModel):
    """The fate of a message; without a status it is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    status: int = Field(default=200, ge=200, le=599)
    error: str | None = None
    body: str | None = None
    retry_after: str | None = None
    delay_s: float = Field(default=0.0, ge=0, le=3600)
    drip: bool = False
    reset: Literal["before", "after", "body", "cut"] | None = (
        None  # body: RST within the answer; cut: end of file within it, no TLS goodbye
    )
    # true: this message and later ones were not processed. after: it was, later ones not, and it is answered.
    # graceful: nothing is lost, no new requests here. lost: it was processed, and no answer comes.
    goaway: bool | Literal["after", "graceful", "lost"] = False
    refuse: bool = False
    rst: Literal["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "CANCEL", "ENHANCE_YOUR_CALM"] | None = None
    silent: bool = False
    header_bytes: int = Field(default=0, ge=0, le=1 << 20)
    garbage: bool = False
    gone_s: float = 0.0  # APNs 410: how long ago the token went
    location: str | None = None  # webhook: where a 3xx points

    @property
    def is_unseen(self) -> bool:
        """Whether the phone never gets the message."""
        return self.refuse or self.goaway is True or self.reset == "before"

    @property
    def needs_raw(self) -> bool:
        """Whether only the raw front end can break this way."""
        return bool(
            self.reset in ("body", "cut")
            or isinstance(self.goaway, str)
            or self.rst
            or self.header_bytes
            or self.garbage
        )


class ConnectionMatch(BaseModel):
    """Selects connections to the raw front end."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    max: int | None = Field(default=None, ge=1)


class Handshake(BaseModel):
    """The fate of a connection.

    Never a word, FIN or RST after the client's hello, half of ours, no TLS at all, RST once it stands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    handshake: Literal["silent", "close", "reset", "cut", "clear", "after"]


class ConnectionRule(BaseModel):
    """One rule about connections."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    match: ConnectionMatch = ConnectionMatch()
    then: Handshake


class Rule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    match: Match = Match()
    then: Then = Then()


class RuleFile(BaseModel):
    """A rule file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int = 0
    rules: tuple[Rule, ...] = ()
    connections: tuple[ConnectionRule, ...] = ()


class Rules:
    """Rules with their counters; draws are seeded, so a run in one order repeats."""

    def __init__(self, file: RuleFile, steady: Callable[[], float] = time.monotonic) -> None:
        self._rules, self._steady = file.rules, steady
        self._began: dict[int, float] = {}  # rule -> when its first message came
        self._random = random.Random(file.seed)
        self._seen = [0] * len(file.rules)
        self._applied = [0] * len(file.rules)
        self.active = bool(file.rules)
        self._connections = file.connections
        # A generator of its own: one more connection must not move the messages' draws.
        self._connection_random = random.Random(file.seed + 1)
        self._connected = [0] * len(file.connections)
        self._broken = [0] * len(file.connections)

    @classmethod
    def load(cls, path: Path | None) -> Rules:
        """Read a rule file. Raises: InvalidInput."""
        if path is None:
            return cls(RuleFile())
        try:
            raw = yaml.load(path.read_text("utf-8"), Loader=PlainLoader)
            return cls(RuleFile.model_validate(raw or {}))
        except OSError as error:
            raise InvalidInput(f"rule file: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = without_addresses(".".join(map(str, first["loc"])))
            raise InvalidInput(f"rule file: {where}: {first['msg']}") from None
        # A validation error is a ValueError, too; the others are no UTF-8, and a date or number that is none.
        except (yaml.YAMLError, ValueError):
            raise InvalidInput("the rule file is not YAML") from None

    def find(self, token: str, dispatch: str) -> Then | None:
        """Return what happens to this message, or None for nothing special."""
        for i, rule in enumerate(self._rules):
            match = rule.match
            if not token.startswith(match.token_prefix) or not dispatch.startswith(match.dispatch_prefix):
                continue
            self._seen[i] += 1
            if (match.after_s or match.for_s is not None) and not self._is_its_time(i, match):
                continue
            if _holds(match, self._seen[i], self._applied[i], self._random):
                self._applied[i] += 1
                return rule.then
        return None

    def _is_its_time(self, i: int, match: Match) -> bool:
        now = self._steady()
        since = now - self._began.setdefault(i, now) - match.after_s
        return since >= 0 and (match.for_s is None or since < match.for_s)

    def applied(self) -> dict[str, list[int]]:
        """Return how often each rule was applied, in the order of the file."""
        return {"rules_applied": list(self._applied), "connection_rules_applied": list(self._broken)}

    def find_connection(self) -> str | None:
        """Return what happens to the next connection to the raw front end, or None."""
        for i, rule in enumerate(self._connections):
            self._connected[i] += 1
            if _holds(rule.match, self._connected[i], self._broken[i], self._connection_random):
                self._broken[i] += 1
                return rule.then.handshake
        return None


def _holds(match: Match | ConnectionMatch, seen: int, applied: int, draw: random.Random) -> bool:
    if match.max is not None and applied >= match.max:
        return False
    if match.nth is not None and seen != match.nth:
        return False
    if match.every is not None and seen % match.every:
        return False
    return match.probability is None or draw.random() < match.probability
