"""A range of a Kafka topic by Spark's own connector; `angelia.importing.kafka` asks for it.

Grain: message. Reads a topic; writes nothing, and commits no offset to the broker: the lake keeps them.
Surprise: the connector and Kafka's client are no part of pyspark; ANGELIA_SPARK_CONF names them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from angelia.errors import AngeliaError, InvalidInput
from angelia.importing.kafka.messages import SCHEMA
from angelia.importing.kafka.source import KafkaSource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONSUMER = "org.apache.kafka.clients.consumer.KafkaConsumer"
PATIENCE_MS = "15000"  # a broker that is there answers in milliseconds
_DESERIALIZER = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
_LACKS = AngeliaError(
    "Spark has no Kafka connector",
    fix="give spark-sql-kafka-0-10_2.13 and kafka-clients in ANGELIA_SPARK_CONF by spark.jars.packages or "
    "spark.jars (docs/IMPORT.md)",
)


class SparkTopic:
    """A topic, read by Spark; its offsets are asked of Kafka's client in the same process."""

    def __init__(self, spark: SparkSession, source: KafkaSource) -> None:
        self._spark, self._source = spark, source
        self._options = source.client_options()
        self._jvm: Any = spark._jvm
        self._consumer: Any = None

    def __enter__(self) -> SparkTopic:
        """Connect.

        Raises:
            AngeliaError: Spark has no connector, or an option is wrong.
        """
        from py4j.protocol import Py4JJavaError

        try:
            loader = self._jvm.java.lang.Thread.currentThread().getContextClassLoader()
            for name in (CONSUMER, "org.apache.spark.sql.kafka010.KafkaSourceProvider"):
                self._jvm.java.lang.Class.forName(name, False, loader)
        except Py4JJavaError:
            raise _LACKS from None
        options = self._jvm.java.util.HashMap()
        given = {"default.api.timeout.ms": PATIENCE_MS, "request.timeout.ms": PATIENCE_MS, **self._options}
        for name, value in given.items():
            options.put(name, value)
        for part in ("key", "value"):
            options.put(f"{part}.deserializer", _DESERIALIZER)
        with self._in_one_line():
            self._consumer = self._jvm.org.apache.kafka.clients.consumer.KafkaConsumer(options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def ends(self) -> dict[int, tuple[int, int]]:
        """Return partition -> (oldest message that is still there, next one to come).

        Raises:
            InvalidInput: the topic does not exist.
            AngeliaError: no broker answers, or it refuses this client.
        """
        with self._in_one_line():
            parts = self._consumer.partitionsFor(self._source.topic) or []
            names = self._jvm.java.util.ArrayList()
            for part in parts:
                names.append(
                    self._jvm.org.apache.kafka.common.TopicPartition(self._source.topic, part.partition())
                )
            if not names:
                raise self._unknown()
            oldest, last = self._consumer.beginningOffsets(names), self._consumer.endOffsets(names)
            return {name.partition(): (int(oldest[name]), int(last[name])) for name in names}

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> pa.Table:
        """Return the messages of these offsets.

        Raises:
            AngeliaError: no broker answers, or messages expired meanwhile.
        """
        topic = self._source.topic
        first, last = (
            json.dumps({topic: {str(partition): ends[at] for partition, ends in ranges.items()}})
            for at in (0, 1)
        )
        with self._in_one_line():
            reader = (
                self._spark.read.format("kafka")
                # Exactly these partitions; `subscribe` would want offsets for all.
                .option("assign", json.dumps({topic: sorted(ranges)}))
                .option("startingOffsets", first)
                .option("endingOffsets", last)
                .option("failOnDataLoss", "true")
                # Else a message that expired is waited for two minutes.
                .option("kafkaConsumer.pollTimeoutMs", PATIENCE_MS)
            )
            for name, value in self._options.items():
                reader = reader.option(f"kafka.{name}", value)
            messages = reader.load().selectExpr(
                "partition",
                "offset",
                "unix_millis(timestamp) AS timestamp_ms",
                "try_validate_utf8(CAST(value AS STRING)) AS value",
            )
            table: pa.Table = messages.toArrow()
        return table.cast(SCHEMA)

    def _unknown(self) -> InvalidInput:
        return InvalidInput(
            f"the brokers have no topic {self._source.topic}", fix="correct source.kafka.topic, or make it"
        )

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """Turn what Kafka's client throws into an operator's error, without addresses or secrets."""
        try:
            yield
        except AngeliaError:
            raise
        except Exception as error:
            # A read ends in Spark's own error, whose causes are in its trace alone.
            parts = [error, *(getattr(error, name, "") for name in ("java_exception", "_stackTrace"))]
            words = "\n".join(str(part) for part in [*parts, error.__context__])
            kinds = set(re.findall(r"([A-Z]\w+(?:Exception|Error))", words))
            if "UnknownTopicOrPartitionException" in kinds:
                raise self._unknown() from None
            if kinds & {
                "SaslAuthenticationException",
                "SslAuthenticationException",
                "TopicAuthorizationException",
            }:
                raise AngeliaError(
                    f"the brokers refuse to let {self._source.topic} be read",
                    fix="correct the security options of source.kafka.options, and their variables",
                ) from None
            if "ConfigException" in kinds or "No resolvable bootstrap urls" in words:
                raise InvalidInput(
                    "Kafka's client refuses brokers or options of the mapping",
                    fix="correct source.kafka.brokers and source.kafka.options; names are Kafka's own",
                ) from None
            if (
                "OffsetOutOfRangeException" in kinds
                or "out of range for partition" in words
                or "data may have been lost" in words.lower()
            ):
                raise AngeliaError(
                    f"messages of {self._source.topic} expired while they were read; nothing was written",
                    fix="run it again; --allow-lost goes on with the oldest message that is there",
                ) from None
            if kinds & {"TimeoutException", "DisconnectException", "TimeoutError"}:
                raise AngeliaError(
                    f"no broker of {self._source.topic} answers; nothing was written",
                    fix="start it, or correct source.kafka.brokers; the next run goes on from there",
                ) from None
            raise
