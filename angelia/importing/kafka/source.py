"""The part of a mapping that names a Kafka topic, and how its messages are read.

Reference: docs/IMPORT.md. Secrets are in the environment: the document names the variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from angelia.errors import InvalidInput

INPUT = "kafka"  # the input that outputs of such a mapping name
_HOSTS = re.compile(r"^[A-Za-z0-9.\-\[\]:]+:\d{1,5}(,[A-Za-z0-9.\-\[\]:]+:\d{1,5})*$")
_SECRET = re.compile(r"password|jaas|secret|token|keystore\.key|credential")
# They are ours to set: with others the lake's offsets would not be what was read.
_OURS = {"bootstrap.servers", "group.id", "auto.offset.reset", "enable.auto.commit", "isolation.level"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromEnvironment(_Part):
    """A value that stands in an environment variable."""

    env: str = Field(pattern=r"^[A-Z_][A-Z0-9_]{0,79}$")

    def value(self) -> str:
        """Return it.

        Raises:
            InvalidInput: the variable is not set.
        """
        given = os.environ.get(self.env)
        if not given:
            raise InvalidInput(
                f"{self.env}, which the mapping names, is not set",
                fix=f"set {self.env} in the environment of this command",
            )
        return given


class KafkaSource(_Part):
    """A topic: its brokers, the fields of its messages, and options of Kafka's own client."""

    brokers: str | FromEnvironment
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    format: Literal["json"] = "json"
    fields: Annotated[list[str], Field(min_length=1, max_length=200)]
    start: Literal["oldest", "newest"] = "oldest"
    options: dict[str, str | FromEnvironment] = {}

    @field_validator("brokers")
    @classmethod
    def _hosts(cls, value: str | FromEnvironment) -> str | FromEnvironment:
        if isinstance(value, str) and not _HOSTS.fullmatch(value):
            raise ValueError("write host:port, several with commas between")
        return value

    @field_validator("fields")
    @classmethod
    def _plain_names(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a field is named twice")
        if not all(re.fullmatch(r'[^".\x00-\x1f]+(\.[^".\x00-\x1f]+)*', name) for name in value):
            raise ValueError("a field is a key of the message, or keys with points between: user.id")
        return value

    @field_validator("options")
    @classmethod
    def _kafkas_own(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, given in value.items():
            if (
                name in _OURS
                or not re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)+", name)
                or name.startswith("kafka.")
            ):
                raise ValueError("an option is one of Kafka's consumer by its own name: security.protocol")
            if _SECRET.search(name) and not isinstance(given, FromEnvironment):
                raise ValueError("a secret stands in the environment; write {env: NAME_OF_THE_VARIABLE}")
        return value

    def client_options(self) -> dict[str, str]:
        """Return the options of Kafka's client, with what the environment holds.

        Raises:
            InvalidInput: a variable is not set.
        """
        given = {"bootstrap.servers": self.brokers, **self.options}
        options = {
            name: value.value() if isinstance(value, FromEnvironment) else value
            for name, value in given.items()
        }
        # What a transaction took back is no event.
        return {**options, "isolation.level": "read_committed"}


class Source(_Part):
    """Where rows come from, if not from files."""

    kafka: KafkaSource


def with_input(document: Any) -> Any:
    """Return a mapping document with the one input that a source is.

    Raises:
        ValueError: it has files, too.
    """
    if not isinstance(document, Mapping) or document.get("source") is None:
        return document
    if "inputs" in document:
        raise ValueError(f"a mapping has a source or inputs; rows of a source are the input {INPUT!r}")
    return {**document, "inputs": {INPUT: "*"}}


def check_outputs(outputs: Sequence[Any], shift: object) -> None:
    """Refuse what only files can have.

    Raises:
        ValueError: it is no stream of events, or refers to a last day.
    """
    if [output.dataset for output in outputs] != ["user_events"]:
        raise ValueError("a Kafka source has one output, user_events")
    if outputs[0].join or shift != "none":
        raise ValueError("a Kafka source takes neither join nor shift")
