"""Events of a real Kafka broker, by Spark's connector: each once, whatever dies.

`make test-kafka` brings broker and connector (Maven, Java 17); the broker listens on loopback, and is stopped
by its process id.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from angelia.errors import AngeliaError, InvalidInput
from angelia.importing.kafka.source import KafkaSource
from angelia.intake.dispatching import sample_night
from angelia.intake.triggers.run import CLIENT
from angelia.lake import Lake
from spark_jobs.running.kafka_topic import SparkTopic
from spark_jobs.running.session import spark_session
from tests.unit.importing.kafka.topics import DOCUMENT, days
from tests.unit.intake.conftest import engine, sqlite_url
from tests.unit.intake.dispatching import Bench, bench
from tests.unit.intake.triggers.conftest import shop
from tests.unit.intake.triggers.setting import MINUTE, T, run

__all__ = ["bench", "engine", "shop", "sqlite_url"]
JARS = Path(__file__).parents[2] / "var" / "kafka"
CONNECTOR = ",".join(str(path) for path in sorted(JARS.glob("connector/*.jar")))
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(not CONNECTOR, reason="no jars of Kafka: make test-kafka fetches them by Maven"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a broker in KRaft mode."""
    folder = tmp_path_factory.mktemp("kafka")
    port, other = free_port(), free_port()
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{other}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{other}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": f"{folder}/logs",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
    }
    settings = folder / "server.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), "utf-8")
    java = ["java", "-Xmx384m", "-cp", f"{JARS}/broker/*"]
    format_ = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(settings)]
    subprocess.run([*java, *format_], check=True, capture_output=True)
    with (folder / "broker.log").open("w") as log:
        process = subprocess.Popen([*java, "kafka.Kafka", str(settings)], stdout=log, stderr=log)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Yield a Spark session that has the connector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANGELIA_SPARK_CONF", f"spark.jars={CONNECTOR} spark.driver.memory=1g")
        with spark_session("tests of a broker") as spark:
            yield spark


class Producer:
    """Kafka's own client, in Spark's process."""

    def __init__(self, session: Any, broker: str, topic: str, partitions: int = 2) -> None:
        self.jvm, self.topic, self.broker = session._jvm, topic, broker
        options = self.jvm.java.util.HashMap()
        options.put("bootstrap.servers", broker)
        for part in ("key", "value"):
            options.put(f"{part}.serializer", "org.apache.kafka.common.serialization.StringSerializer")
        self.options = options
        admin = self.jvm.org.apache.kafka.clients.admin.Admin.create(options)
        topics = self.jvm.java.util.ArrayList()
        topics.append(self.jvm.org.apache.kafka.clients.admin.NewTopic(topic, partitions, 1))
        admin.createTopics(topics).all().get()
        self.admin = admin

    def send(self, *values: str) -> None:
        producer = self.jvm.org.apache.kafka.clients.producer.KafkaProducer(self.options)
        for number, value in enumerate(values):
            record = self.jvm.org.apache.kafka.clients.producer.ProducerRecord(
                self.topic, number % 2, None, value
            )
            producer.send(record).get()
        producer.close()

    def expire(self, partition: int, before: int) -> None:
        part = self.jvm.org.apache.kafka.common.TopicPartition(self.topic, partition)
        records = self.jvm.java.util.HashMap()
        records.put(part, self.jvm.org.apache.kafka.clients.admin.RecordsToDelete.beforeOffset(before))
        self.admin.deleteRecords(records).all().get()


def event(name: str, user: str, at_us: int = T) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us / 1e6))
    return json.dumps({"id": name, "user": {"id": user}, "what": "cart", "item": "camera", "at": at})


def mapping(folder: Path, broker: str, topic: str) -> Path:
    kafka = {**DOCUMENT["source"]["kafka"], "brokers": broker, "topic": topic}
    kafka["fields"] = [*kafka["fields"], "item"]
    (output,) = DOCUMENT["outputs"]
    outputs = [{**output, "columns": {**output["columns"], "item": "item"}}]
    path = folder / "events.yaml"
    path.write_text(yaml.safe_dump({**DOCUMENT, "source": {"kafka": kafka}, "outputs": outputs}), "utf-8")
    return path


class Importing:
    """The command, started as the DAG does, on the test's home."""

    def __init__(self, path: Path, **env: str) -> None:
        conf = f"spark.jars={CONNECTOR} spark.driver.memory=1g"
        # Into files: a killed command's virtual machine holds a pipe open for some seconds more.
        self.folder = Path(tempfile.mkdtemp(dir=path.parent))
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "angelia.cli", "import", "--events", "--json"],
                env={**os.environ, "ANGELIA_EVENTS": str(path), "ANGELIA_SPARK_CONF": conf, **env},
                stdout=out,
                stderr=err,
            )

    def end(self) -> tuple[int, str, str]:
        """Wait for it, and return its code, answer and log."""
        code = self.process.wait(300)
        answer, words = ((self.folder / name).read_text("utf-8") for name in ("out", "err"))
        return code, answer, words


@pytest.mark.usefixtures("settings_home")
def test_a_produced_event_becomes_a_push(shop: Bench, broker: str, session: Any, tmp_path: Path) -> None:
    producer = Producer(session, broker, "carts")
    producer.send(event("e1", sample_night.user(0)), "{", event("e2", sample_night.user(1)))
    path = mapping(tmp_path, broker, "carts")
    code, answer, words = Importing(path).end()
    assert code == 0, words
    taken = json.loads(answer)
    assert (taken["read"], taken["rows"], taken["rejected"]) == (3, 2, {"message is not a JSON object": 1})
    report = run(shop, T + 61 * MINUTE)
    assert report.outcomes == {"handed_over": 2}
    shop.dispatch()
    assert len(shop.wire.sent) == 2
    assert {message["client"] for message in _messages(shop)} == {CLIENT}


def _messages(shop: Bench) -> list[dict[str, Any]]:
    from tests.unit.intake.triggers.setting import messages

    return [dict(message) for message in messages(shop)]


@pytest.mark.usefixtures("settings_home")
def test_killed_and_racing_readers_take_each_event_once(
    lake: Lake, broker: str, session: Any, tmp_path: Path
) -> None:
    producer = Producer(session, broker, "raced")
    producer.send(*(event(f"e{n}", "u1") for n in range(100)))
    path = mapping(tmp_path, broker, "raced")
    # Before its commit, and just after it: there the commit stands.
    for point in ("publish.before_create", "create.after_link"):
        code, _, words = Importing(path, ANGELIA_FAILPOINT=point).end()
        assert code == -signal.SIGKILL, words
    producer.send(*(event(f"f{n}", "u1") for n in range(100)))
    both = [Importing(path) for _ in range(2)]
    answers = [each.end() for each in both]
    assert [code for code, _, _ in answers] == [0, 0], answers
    assert sum(json.loads(answer)["rows"] for _, answer, _ in answers) == 100
    (ids,) = days(lake).values()
    assert ids == sorted([f"e{n}" for n in range(100)] + [f"f{n}" for n in range(100)])


def test_trouble_with_the_broker_is_one_line(broker: str, session: Any) -> None:
    producer = Producer(session, broker, "short")
    producer.send(event("e1", "u1"), event("e2", "u1"), event("e3", "u1"))
    producer.expire(0, 1)
    known = {"brokers": broker, "topic": "short", "fields": ["id"]}
    with SparkTopic(session, KafkaSource.model_validate(known)) as topic:
        assert topic.ends() == {0: (1, 2), 1: (0, 1)}
        assert topic.read({0: (1, 2)})["offset"].to_pylist() == [1]
        with pytest.raises(AngeliaError, match="expired while they were read"):
            topic.read({0: (0, 2)})
    with (
        SparkTopic(session, KafkaSource.model_validate({**known, "topic": "none"})) as topic,
        pytest.raises(InvalidInput, match="no topic none"),
    ):
        topic.ends()
    away = {**known, "brokers": f"127.0.0.1:{free_port()}"}
    away["options"] = {"default.api.timeout.ms": "2000", "request.timeout.ms": "2000"}
    with (
        SparkTopic(session, KafkaSource.model_validate(away)) as topic,
        pytest.raises(AngeliaError, match="no broker of short answers"),
    ):
        topic.ends()
    wrong = {**known, "options": {"security.protocol": "NONE"}}
    with (
        pytest.raises(InvalidInput, match="refuses brokers or options"),
        SparkTopic(session, KafkaSource.model_validate(wrong)),
    ):
        pass
