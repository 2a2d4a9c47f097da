"""Kafka's own errors in one line, without addresses; `tests/kafka` has a real broker."""

from __future__ import annotations

import pytest

from angelia.errors import AngeliaError
from angelia.importing.kafka.source import KafkaSource
from spark_jobs.running.kafka_topic import SparkTopic

SOURCE = KafkaSource(brokers="secret-host:9092", topic="carts", fields=["id"])


class Session:
    """A session without a virtual machine."""

    _jvm = None


@pytest.mark.parametrize(
    ("thrown", "says"),
    [
        ("o.a.k.common.errors.TimeoutException: secret-host:9092", "no broker of carts answers"),
        ("UnknownTopicOrPartitionException: x", "no topic carts"),
        ("SaslAuthenticationException: secret-host", "refuse to let carts be read"),
        ("KafkaException: ConfigException: secret-host", "refuses brokers or options"),
        ("SparkException: OffsetOutOfRangeException: secret-host", "expired while they were read"),
    ],
)
def test_each_trouble_is_one_line_with_its_fix(thrown: str, says: str) -> None:
    topic = SparkTopic(Session(), SOURCE)  # type: ignore[arg-type]
    with pytest.raises(AngeliaError, match=says) as refused, topic._in_one_line():
        raise RuntimeError(thrown)
    assert refused.value.fix
    assert "secret-host" not in refused.value.one_line()


def test_what_is_a_defect_is_not_hidden() -> None:
    with (
        pytest.raises(RuntimeError, match="NullPointerException"),
        SparkTopic(Session(), SOURCE)._in_one_line(),  # type: ignore[arg-type]
    ):
        raise RuntimeError("NullPointerException")


def test_without_a_connector_the_fix_is_named(spark: object) -> None:
    with pytest.raises(AngeliaError, match="Spark has no Kafka connector"):
        SparkTopic(spark, SOURCE).__enter__()  # type: ignore[arg-type]
