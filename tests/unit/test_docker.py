"""The container files agree with the project: versions, settings, secrets."""

from __future__ import annotations

import re
import subprocess
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
