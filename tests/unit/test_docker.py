"""The container files agree with the project: versions, settings, secrets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml

from angelia.config import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def _versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", lock.read_text("utf-8"), re.MULTILINE))


def test_the_image_holds_the_versions_that_tests_run_with() -> None:
    tested, image = _versions(ROOT / "requirements.lock"), _versions(DOCKER / "requirements.lock")
    both = set(tested) & set(image)
    assert len(both) > 150
    assert {name: (tested[name], image[name]) for name in both if tested[name] != image[name]} == {}
    assert not {"pytest", "mypy", "moto", "hypothesis"} & set(image)
    assert {"celery", "apache-airflow-providers-celery", "apache-airflow-providers-fab"} <= set(image)


def test_compose_names_settings_that_exist() -> None:
    environment = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["x-angelia"]["environment"]
    known = {f"ANGELIA_{name.upper()}" for name in Settings.model_fields}
    spoken = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    named = {name for name in environment if name.startswith("ANGELIA_")}
    assert {name for name in named if name not in known and name not in spoken} == set()
    assert {"ANGELIA_LAKE", "ANGELIA_MODELS", "ANGELIA_CATALOG", "ANGELIA_S3_ENDPOINT"} <= named


def test_every_service_that_stays_says_whether_it_is_healthy() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    stay = {name: service for name, service in services.items() if service.get("restart") == "unless-stopped"}
    assert {"grafana", "prometheus", "node-exporter", "airflow-scheduler"} <= set(stay)
    assert [name for name, service in stay.items() if not service.get("healthcheck", {}).get("test")] == []


def test_secrets_are_written_once_for_their_owner_only(tmp_path) -> None:
    file, script = tmp_path / "a folder" / "env", DOCKER / "secrets.sh"
    file.parent.mkdir()
    subprocess.run([script, file], check=True, capture_output=True, timeout=30)
    first = file.read_text("utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    again = subprocess.run([script, file], check=True, capture_output=True, text=True, timeout=30)
    assert "stands already" in again.stdout
    assert file.read_text("utf-8") == first
    demanded = set(re.findall(r"\$\{([A-Z_0-9]+):\?", (DOCKER / "compose.yaml").read_text("utf-8")))
    written = dict(line.split("=", 1) for line in first.splitlines())
    assert demanded <= set(written)
    assert all(len(value) >= 7 for value in written.values())
    assert not re.search(r"(PASSWORD|SECRET|KEY)[A-Z_]*:-", (DOCKER / "compose.yaml").read_text("utf-8"))


def test_workers_find_what_the_sandbox_writes() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    worker = yaml.safe_load((DOCKER / "compose.sandbox.yaml").read_text("utf-8"))["services"][
        "airflow-worker"
    ]
    command, settings = services["sandbox"]["command"], worker["environment"]
    folder = command[command.index("--state-dir") + 1]
    host, port = (command[command.index(option) + 1] for option in ("--host", "--port"))
    assert settings["ANGELIA_FCM_URL"] == f"https://{host}:{port}"
    assert {Path(settings[f"ANGELIA_{name}"]).parent for name in ("FCM_CREDENTIALS", "CA_FILE")} == {
        Path(folder)
    }
    assert services["sandbox"]["volumes"] == [f"sandbox:{folder}"]
    assert worker["volumes"] == [f"sandbox:{folder}:ro"]
    # A new volume takes its owner from the image's folder; root's would be closed to the sandbox.
    installed = (
        (DOCKER / "Dockerfile").read_text("utf-8").partition("--owner 50000")[2].partition("WORKDIR")[0]
    )
    assert folder in installed.split()


KUBERNETES = DOCKER / "kubernetes"


def _manifests() -> list[dict]:
    names = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["resources"]
    return [
        document for name in names for document in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))
    ]


def test_an_executor_pod_starts_what_spark_says(tmp_path) -> None:
    (tmp_path / "java").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "java").chmod(0o755)
    environment = {
        "SPARK_JAVA_OPT_0": "-Da=b c", "SPARK_JAVA_OPT_1": "-Dd=e", "SPARK_EXECUTOR_MEMORY": "768m",
        "SPARK_DRIVER_URL": "spark://driver", "SPARK_EXECUTOR_ID": "3", "SPARK_EXECUTOR_CORES": "2",
        "SPARK_APPLICATION_ID": "app-1", "SPARK_EXECUTOR_POD_IP": "10.0.0.7",
        "SPARK_EXECUTOR_POD_NAME": "pod-3", "SPARK_CONF_DIR": "/opt/spark/conf",
        "SPARK_RESOURCE_PROFILE_ID": "0",
    }  # fmt: skip
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    words = [DOCKER / "executor.sh"]
    done = subprocess.run(
        words, env={**environment, "PATH": path}, capture_output=True, text=True, timeout=30
    )
    lines = done.stdout.splitlines()
    assert lines[:5] == ["-Da=b c", "-Dd=e", "-Xms768m", "-Xmx768m", "-cp"], done.stderr
    conf, jars = lines[5].split(":")
    assert (conf, jars.endswith("/pyspark/jars/*")) == ("/opt/spark/conf", True)
    assert dict(zip(lines[7::2], lines[8::2], strict=True)) == {
        "--driver-url": "spark://driver", "--executor-id": "3", "--cores": "2", "--app-id": "app-1",
        "--hostname": "10.0.0.7", "--resourceProfileId": "0", "--podName": "pod-3",
    }  # fmt: skip


def test_the_manifests_for_kubernetes_agree_with_the_chart() -> None:
    values = yaml.safe_load((KUBERNETES / "values.yaml").read_text("utf-8"))
    documents = {(document["kind"], document["metadata"]["name"]): document for document in _manifests()}
    # The account that makes executors is the one that the chart gives its workers.
    (subject,) = documents["RoleBinding", "angelia-spark"]["subjects"]
    assert subject["name"] == values["workers"]["serviceAccount"]["name"]
    (entry,) = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["images"]
    image = f"{entry['newName']}:{entry['newTag']}"
    airflow = values["images"]["airflow"]
    assert f"{airflow['repository']}:{airflow['tag']}" == image
    settings = documents["ConfigMap", "angelia"]["data"]
    options = dict(option.split("=", 1) for option in settings["ANGELIA_SPARK_CONF"].split())
    assert options["spark.kubernetes.container.image"] == image
    account = options["spark.kubernetes.authenticate.executor.serviceAccountName"]
    assert ("ServiceAccount", account) in documents
    assert values["airflowVersion"] == _versions(DOCKER / "requirements.lock")["apache-airflow"]
    # Airflow's Spark operator refuses a master of Kubernetes without this provider.
    assert json.loads(settings["AIRFLOW_CONN_SPARK_DEFAULT"])["host"].startswith("k8s://")
    assert "apache-airflow-providers-cncf-kubernetes" in _versions(DOCKER / "requirements.lock")
    known = {f"ANGELIA_{name.upper()}" for name in Settings.model_fields}
    spoken = (ROOT / "docs" / "OPERATING.md").read_text("utf-8")
    assert {name for name in settings if name.startswith("ANGELIA_") and name not in known} <= set(
        re.findall(r"ANGELIA_[A-Z_]+", spoken)
    )


def test_values_for_the_chart_suit_our_image() -> None:
    values = yaml.safe_load((KUBERNETES / "values.yaml").read_text("utf-8"))
    # The chart's own first user is admin with the password admin.
    assert values["createUserJob"] == {"enabled": False}
    # /clean-logs, which the chart would run, is in Airflow's own image only.
    for part in ("scheduler", "workers", "dagProcessor", "triggerer"):
        assert values[part]["logGroomerSidecar"]["args"][:2] == ["bash", "-c"], part
    # The host check would refuse workers, which ask by the service's name, and probes.
    address, hosts = yaml.safe_load(values["extraEnv"])
    assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert (hosts["name"], f"$({address['name']})" in hosts["value"]) == ("ANGELIA_AIRFLOW_HOSTS", True)
    assert hosts["value"].split(",")[0] == "airflow-api-server"


def test_old_logs_go_and_new_ones_stay(tmp_path: Path) -> None:
    values = yaml.safe_load((KUBERNETES / "values.yaml").read_text("utf-8"))
    command = values["scheduler"]["logGroomerSidecar"]["args"]
    old, new = (tmp_path / "logs" / "dag=a b" / name for name in ("old.log", "new.log"))
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_text("")
    os.utime(old, (0, 0))
    environment = {
        "PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__LOG_RETENTION_DAYS": "15",
    }  # fmt: skip
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 30
        while old.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        is_running = process.poll() is None
        process.kill()
    assert (is_running, old.exists(), new.exists()) == (True, False, True)


def test_the_secret_for_kubernetes_is_written_out() -> None:
    files = [path.read_text("utf-8") for path in KUBERNETES.glob("*.yaml")]
    asked = {key for text in files for key in re.findall(r"name: angelia, key: ([a-z0-9.-]+)", text)}
    asked |= {key for text in files for key in re.findall(r"secretKey: ([a-z0-9-]+)", text)}
    asked |= {key for text in files for key in re.findall(r"=angelia:([a-z0-9-]+)", text)}
    document = (ROOT / "docs" / "KUBERNETES.md").read_text("utf-8")
    # The chart asks for these three by the name of the Secret alone.
    asked |= {"connection", "fernet-key", "api-secret-key", "jwt-secret", "receive.json"}
    assert {key for key in asked if f"--from-literal={key}=" not in document} == set()
