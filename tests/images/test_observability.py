"""The dashboard and the alert rules ask for what the code writes, and get an answer.

Prometheus' own tests of the rules pass.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from angelia import logs, metrics
from angelia.cli import COMMANDS
from angelia.delivery.worker import worker_metrics
from angelia.intake.access_log import AccessLog
from angelia.receive.receive_metrics import CallbackTotals
from spark_jobs import JOBS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker" / "observability"
PROGRAMS = ROOT / ".venv-servers" / "bin"
NOT_OURS = {"node_textfile_scrape_error": frozenset[str]()}
# What else stands in a query: functions, words of PromQL, and the names of labels behind `by` and `on`.
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"\b([a-z]+(?:_[a-z]+)+)\b(?!\s*\()(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!=|=)\s*"([^"]*)"')


@pytest.fixture(scope="module")
def textfiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return HOME/metrics, in which the code has written every metric."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "metrics"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANGELIA_HOME", str(home))
        patch.delenv("ANGELIA_BRANCH", raising=False)
        with logs.step("quality check", ["--ds", "2026-11-14", "--gate", "sources"]):
            logs.took([("ref", "user_events", 3)], {"late": 1}, broken_by={"user_events.user_id": 2})
            logs.published("user_days", 3, {}, [])
        for step, name in (("plan_dispatch", "decisions"), ("emit_manifests", "dispatch_manifest")):
            with logs.step(step, ["--ds", "2026-11-14"]):
                logs.published(name, 3, {}, [])
    sender: Any = SimpleNamespace(
        n_requests=3, n_refused=1, halted=None, counts=Counter(accepted=2), receivers=None,
        bucket=SimpleNamespace(n_decreases=1), breaker=SimpleNamespace(n_opened=1),
    )  # fmt: skip
    totals = metrics.Totals(folder / "angelia_delivery.prom", worker_metrics.TOTALS)
    totals.add(worker_metrics.totals({"fcm": sender}))
    counted = Counter({"200": 2, "broken": 1, "events": 3, "refused": 1})
    CallbackTotals(folder).add(counted, Counter(receipts=2, suppressions=1))
    asyncio.run(answered(folder))
    (folder / "airflow.prom").write_text("\n".join(said_by_airflow(home)) + "\n")
    return folder


@pytest.fixture(scope="module")
def written(textfiles: Path) -> dict[str, set[str]]:
    """Return the labels of every metric."""
    labels: dict[str, set[str]] = {}
    for file in textfiles.glob("*.prom"):
        for line in file.read_text().splitlines():
            if match := re.fullmatch(r"([a-z_]+)\{(.*)\} \S+", line):
                labels.setdefault(match[1], set()).update(re.findall(r'([a-z_]+)="', match[2]))
    return labels


async def answered(folder: Path) -> None:
    """Let the intake's access log count one answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})

    async def nothing(*_: Any) -> Any:
        return {}

    log = AccessLog(app, None, folder)
    await log(
        {"type": "http", "method": "POST", "route": SimpleNamespace(path="/v1/messages")}, nothing, nothing
    )
    log.flush(is_last=True)


# Runs in a process of its own, set up as compose.yaml sets up Airflow's.
AIRFLOW = """
from airflow._shared.observability.metrics import stats
from airflow._shared.observability.metrics.metrics_registry import MetricsRegistry
from airflow.configuration import conf
from airflow.observability.metrics.stats_utils import get_stats_factory
legacy = conf.getboolean("metrics", "legacy_names_on")
stats.initialize(factory=get_stats_factory(), export_legacy_names=legacy)
for name, metric in MetricsRegistry()._metrics.items():
    say = {"counter": stats.incr, "gauge": stats.gauge}.get(metric["type"])
    if say is not None and "{" not in name:
        say(name, 1, tags={"pool_name": "spark"})
"""


def said_by_airflow(home: Path) -> list[str]:
    """Return what Airflow sends if it has something to say of every metric it knows."""
    bodies: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    env = {
        k: v for k, v in compose["x-angelia"]["environment"].items() if re.match("AIRFLOW__METRICS|OTEL", k)
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        endpoint = env["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]
        assert endpoint.startswith("http://prometheus:9090/")
        own = {"AIRFLOW__METRICS__OTEL_ON": "True", "AIRFLOW_HOME": str(home / "airflow"), "HOME": str(home)}
        own["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = endpoint.replace(
            "prometheus:9090", f"127.0.0.1:{receiver.server_port}"
        )
        words = [sys.executable, "-c", AIRFLOW]
        done = subprocess.run(
            words, env={**os.environ, **env, **own}, capture_output=True, text=True, timeout=120
        )
        receiver.shutdown()
    assert done.returncode == 0, done.stderr
    return [line for body in bodies for line in as_prometheus_names(body)]


def as_prometheus_names(body: bytes) -> Iterator[str]:
    """Yield metrics as Prometheus' receiver of OpenTelemetry names them.

    Dots become underscores, and what only grows ends in `_total`.
    """
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        of = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
        labels = f'job="{of["service.name"]}",instance="{of["service.instance.id"]}"'
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            name = metric.name.replace(".", "_") + (
                "_total" if kind == "sum" and metric.sum.is_monotonic else ""
            )
            for point in getattr(metric, kind).data_points:
                more = "".join(f',{pair.key}="{pair.value.string_value}"' for pair in point.attributes)
                yield f"{name}{{{labels}{more}}} {getattr(point, point.WhichOneof('value'))}"


def queries() -> dict[str, str]:
    """Return every query of the dashboard and the rules, by the panel's or the alert's name."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    named = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
    }
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]:
        named |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    return named


@pytest.mark.parametrize("name", queries())
def test_a_query_asks_for_what_is_written(name: str, written: dict[str, set[str]]) -> None:
    query = queries()[name]
    known = written | {name: set(labels) for name, labels in NOT_OURS.items()}
    asked = dict(SELECTOR.findall(GROUPED.sub("", query)))
    assert asked
    assert asked.keys() <= known.keys()
    every = set().union(*(known[metric] for metric in asked))
    grouped = {label.strip() for labels in GROUPED.findall(query) for label in labels.split(",")}
    assert grouped <= every
    steps = {*JOBS, *(f"{group} {word}" for group in COMMANDS for word in ("check", "guard"))}
    for metric, matchers in SELECTOR.findall(GROUPED.sub("", query)):
        for label, value in MATCHER.findall(matchers):
            assert label in known[metric]
            assert label != "step" or value in steps


def test_the_dashboard_is_about_every_room(written: dict[str, set[str]]) -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Night", "Plan", "Delivery", "Receive", "Intake", "Quality", "Airflow"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    everything = " ".join(queries().values())
    unseen = {name for name in written if name not in everything}
    assert unseen == {"angelia_step_rows_in"}  # what a step read is in its line of the log


def test_each_alert_has_a_test_and_a_fix() -> None:
    rules = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"][0]["rules"]
    tested = yaml.safe_load((FOLDER / "rules_test.yaml").read_text())["tests"]
    fires = {
        alert["alertname"] for test in tested for alert in test["alert_rule_test"] if alert["exp_alerts"]
    }
    assert fires == {rule["alert"] for rule in rules}
    assert all(rule["annotations"]["summary"] and rule["annotations"]["fix"] for rule in rules)


def test_compose_provisions_dashboard_rules_and_exporter() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    services, configs = compose["services"], compose["configs"]
    for name in ("node-exporter", "prometheus", "grafana"):
        assert services[name]["profiles"] == ["observability"]
    for name in ("rules", "dashboard"):
        assert (ROOT / "docker" / configs[name]["file"]).is_file()
    source = yaml.safe_load(configs["grafana-datasource"]["content"])["datasources"][0]
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {source["uid"]}
    # What writes the files and what reads them share one volume.
    assert "metrics:/var/lib/angelia/metrics" in compose["x-angelia"]["volumes"]
    assert services["node-exporter"]["volumes"] == ["metrics:/metrics:ro"]


def program(name: str) -> str:
    """Return where one of Prometheus' programs is."""
    path = shutil.which(name) or (str(PROGRAMS / name) if (PROGRAMS / name).exists() else None)
    if path is None:
        pytest.skip(f"no {name}; `make test-alerts` fetches Debian's, or install the package prometheus")
    return path


def test_promtools_own_tests_of_the_rules_pass() -> None:
    promtool = program("promtool")
    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run([promtool, *words], cwd=FOLDER, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(textfiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prometheus as compose.yaml sets it up; what its exporter would serve comes from here."""
    server, folder = program("prometheus"), tmp_path_factory.mktemp("prometheus")

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(b"".join(file.read_bytes() for file in sorted(textfiles.glob("*.prom"))))

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as exporter:
        port = free_port()
        threading.Thread(target=exporter.serve_forever, daemon=True).start()
        config = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["configs"]["prometheus"][
            "content"
        ]
        for place, ours in (
            ("30s", "200ms"),
            ("node-exporter:9100", f"127.0.0.1:{exporter.server_port}"),
            ("/etc/prometheus/rules.yaml", str(FOLDER / "rules.yaml")),
        ):
            assert place in config
            config = config.replace(place, ours)
        (folder / "prometheus.yml").write_text(config)
        words = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
        listen = (f"--web.listen-address=127.0.0.1:{port}", "--log.level=error")
        process = subprocess.Popen([server, *words, *listen])
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)
            exporter.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def series(address: str, query: str) -> list[Any]:
    """Return what Prometheus answers; nothing while it starts."""
    try:
        with urlopen(f"{address}/api/v1/query?query={quote(query)}", timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None
    except URLError:
        return []


def test_prometheus_answers_every_panel(prometheus: str) -> None:
    # An alert is silent where all is well, and so is a panel that shows only what is above nothing.
    alerts = {name for name in queries() if name.startswith("Angelia")}
    waiting = {name: query.removesuffix(" > 0") for name, query in queries().items() if name not in alerts}
    until = time.monotonic() + 60
    while waiting and time.monotonic() < until:
        time.sleep(0.3)  # a rate wants two looks
        waiting = {name: query for name, query in waiting.items() if not series(prometheus, query)}
    assert not waiting
    for name in alerts:
        series(prometheus, queries()[name])
