"""Scripted faults: which request gets which misfortune.

A rule file is YAML:

    seed: 7
    rules:
      - match: {token_prefix: gone-}                 # also: nth: 5 | every: 10 | probability: 0.1 | dispatch_prefix: … | max: 100
        then: {status: 404, error: UNREGISTERED}
        # also: retry_after: "2" | delay_s: 1.5 | drip: true | reset: before|after | goaway: true | refuse: true

The first rule that matches holds. `reset: after` and `drip` count the message as received by the phone: the answer is lost, the push is not.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from angelia.errors import InvalidInput


class Match(BaseModel):
    """Which messages; all that is given must hold. `nth` and `every` count the messages that match the prefixes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    token_prefix: str = ""
    dispatch_prefix: str = ""
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    max: int | None = Field(default=None, ge=1)


class Then(BaseModel):
    """What happens. Without a status the message is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    status: int = Field(default=200, ge=200, le=599)
    error: str | None = None
    body: str | None = None
    retry_after: str | None = None
    delay_s: float = Field(default=0.0, ge=0, le=3600)
    drip: bool = False
    reset: Literal["before", "after"] | None = None
    goaway: bool = False
    refuse: bool = False
    gone_s: float = 0.0  # APNs 410: how long ago the token went
    location: str | None = None  # webhook: where a 3xx points


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


class Rules:
    """Rules with their counters; draws are seeded, so a run in one order repeats."""

    def __init__(self, file: RuleFile) -> None:
        self._rules = file.rules
        self._random = random.Random(file.seed)
        self._seen = [0] * len(file.rules)
        self._applied = [0] * len(file.rules)
        self.active = bool(file.rules)

    @classmethod
    def load(cls, path: Path | None) -> Rules:
        """Read a rule file. Raises: InvalidInput."""
        if path is None:
            return cls(RuleFile())
        try:
            return cls(RuleFile.model_validate(yaml.safe_load(path.read_text()) or {}))
        except OSError as error:
            raise InvalidInput(f"rule file: {error.strerror}") from None
        except yaml.YAMLError:
            raise InvalidInput("the rule file is no YAML") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"rule file: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def find(self, token: str, dispatch: str) -> Then | None:
        """Return what happens to this message, or None for nothing special."""
        for i, rule in enumerate(self._rules):
            match = rule.match
            if not token.startswith(match.token_prefix) or not dispatch.startswith(match.dispatch_prefix):
                continue
            self._seen[i] += 1
            if match.max is not None and self._applied[i] >= match.max:
                continue
            if match.nth is not None and self._seen[i] != match.nth:
                continue
            if match.every is not None and self._seen[i] % match.every:
                continue
            if match.probability is not None and self._random.random() >= match.probability:
                continue
            self._applied[i] += 1
            return rule.then
        return None
