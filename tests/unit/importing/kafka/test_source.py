"""The Kafka part of a mapping: what it takes, and secrets that stay in the environment."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from angelia.errors import InvalidInput
from angelia.importing.kafka.source import KafkaSource
from angelia.importing.mapping import Mapping
from tests.unit.importing.kafka.topics import DOCUMENT

KAFKA = DOCUMENT["source"]["kafka"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"brokers": "localhost"}, "write host:port"),
        ({"topic": "a b"}, "should match pattern"),
        ({"fields": ["id", "id"]}, "named twice"),
        ({"fields": ["user..id"]}, "keys with points between"),
        ({"options": {"kafka.security.protocol": "SSL"}}, "by its own name"),
        ({"options": {"isolation.level": "read_uncommitted"}}, "by its own name"),
        ({"options": {"sasl.jaas.config": "password"}}, "a secret stands in the environment"),
    ],
)
def test_a_wrong_part_says_what_it_may_be(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        KafkaSource.model_validate({**KAFKA, **changed})


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"sasl.jaas.config": {"env": "KAFKA_JAAS"}}
    source = KafkaSource.model_validate({**KAFKA, "brokers": {"env": "KAFKA"}, "options": options})
    monkeypatch.setenv("KAFKA", "a:1,b:2")
    with pytest.raises(InvalidInput, match="KAFKA_JAAS, which the mapping names, is not set"):
        source.client_options()
    monkeypatch.setenv("KAFKA_JAAS", "secret")
    assert source.client_options() == {
        "bootstrap.servers": "a:1,b:2",
        "sasl.jaas.config": "secret",
        "isolation.level": "read_committed",
    }


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"inputs": {"log": "*.csv"}}, "a source or inputs"),
        ({"shift": 1}, "neither join nor shift"),
        ({"outputs": [*DOCUMENT["outputs"], *DOCUMENT["outputs"]]}, "one output, user_events"),
    ],
)
def test_a_topic_is_a_stream_of_events_alone(changed: dict[str, Any], says: str) -> None:
    assert Mapping.model_validate(DOCUMENT).inputs.keys() == {"kafka"}
    with pytest.raises(ValidationError, match=says):
        Mapping.model_validate({**DOCUMENT, **changed})
