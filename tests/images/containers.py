"""Containers for a test: images that podman builds, and the project of docker/compose.yaml.

compose's own program talks to podman's service; the health checks are run here, because podman leaves them to
systemd's timers. Whatever was started ends with its block.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.celery_site import free_port

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = PROJECT / ".venv" / "bin" / "docker-compose"
BASE, OURS = "localhost/angelia-base:local", "localhost/angelia:local"
STAND_INS = ("postgres", "redis", "s3", "prometheus", "node-exporter")
PACKAGES = "ca-certificates,python3,python3-venv"
FILES = ("docker/compose.yaml", "docker/compose.sandbox.yaml", "tests/images/compose.yaml")
CONFIGURATION = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


def missing() -> str:
    """Return why no container can be built and started here; empty if they can."""
    if os.geteuid() != 0:
        return "images are built and started as root"
    programs = [name for name in ("podman", "runc", "debootstrap", "iptables") if shutil.which(name) is None]
    if programs:
        packages = "podman runc netavark aardvark-dns iptables debootstrap"
        return f"{', '.join(programs)} not installed (apt-get install {packages})"
    return "" if COMPOSE.exists() else "no docker-compose in .venv (make setup installs it)"


def run(*words: str, env: dict[str, str] | None = None, timeout: float = 1800, given: str = "") -> str:
    """Run a command, which must end well; return what it prints."""
    done = subprocess.run(
        words, env=env, cwd=PROJECT, input=given, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def mirror(apt: Path) -> str:
    """Return the address that this machine has its Debian packages from."""
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in lists:
        text = file.read_text() if file.is_file() else ""
        address = re.search(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+)", text, re.MULTILINE)
        if address:
            return address[1]
    raise AssertionError("no Debian source is named in /etc/apt: the base has nowhere to come from")


class Podman:
    """podman with settings of its own, which a machine without systemd needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "containers.conf").write_text(CONFIGURATION)
        self.env = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def __call__(self, *words: str, timeout: float = 1800, given: str = "") -> str:
        return run("podman", *words, env=self.env, timeout=timeout, given=given)

    def has(self, image: str) -> bool:
        """Tell whether an image stands."""
        return not subprocess.run(["podman", "image", "exists", image], env=self.env).returncode

    def build_all(self) -> None:
        """Build the base, our image and the stand-ins; layers that stand are taken."""
        if not self.has(BASE):
            self._build_base()
        secret = [f"--secret=id=pip,src={file}" for file in ("/etc/pip.conf",) if Path(file).exists()]
        build = ("build", "--format", "docker", "--network", "host", *secret)
        context = self.folder / "stand-ins"
        context.mkdir()
        for file in ("images/Dockerfile", "images/postgres.sh", "servers.lock"):
            shutil.copy(PROJECT / "tests" / file, context)
        ours = ("--build-arg", f"PYTHON_IMAGE={BASE}", "-f", "docker/Dockerfile", "-t", OURS, ".")
        stand_ins = [
            (
                "--build-arg",
                f"BASE={BASE}",
                "--target",
                name,
                "-t",
                f"localhost/angelia-{name}:local",
                str(context),
            )
            for name in STAND_INS
        ]
        # pip works for minutes, Debian's packages wait for the network: side by side.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda words: self(*build, *words, timeout=3600), [ours, *stand_ins]))

    def _build_base(self) -> None:
        """Make a bare Debian with Python, and with the sources and certificates of this machine."""
        root, apt = self.folder / "root", Path("/etc/apt")
        source = mirror(apt)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), source)
        for name in ("sources.list.d", "apt.conf.d"):
            shutil.copytree(apt / name, root / "etc/apt" / name, dirs_exist_ok=True)
        if (apt / "sources.list").exists():
            shutil.copy(apt / "sources.list", root / "etc/apt")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
        run("tar", "--create", f"--directory={root}", f"--file={self.folder}/base.tar", ".")
        self("import", f"{self.folder}/base.tar", BASE)
        shutil.rmtree(root)
        (self.folder / "base.tar").unlink()


@dataclass
class Services:
    """The services of compose.yaml in containers, as a project with a name of its own."""

    podman: Podman
    name: str
    env: dict[str, str]
    settings: dict[str, str]
    url: str

    def compose(self, *words: str, timeout: float = 1800) -> str:
        """Run compose's program on the project."""
        files = [word for file in FILES for word in ("-f", file)]
        profiles = ("--profile", "sandbox", "--profile", "observability")
        around = ("--project-name", self.name, "--env-file", self.env["SETTINGS"])
        return run(str(COMPOSE), *around, *files, *profiles, *words, env=self.env, timeout=timeout)

    def containers(self, service: str = "") -> list[str]:
        """Return the ids of the project's containers, or of one service's."""
        labels = [f"label=com.docker.compose.project={self.name}"]
        labels += [f"label=com.docker.compose.service={service}"] if service else []
        return self.podman("ps", "--quiet", *(f"--filter={label}" for label in labels)).split()

    def within(self, service: str, *words: str, timeout: float = 1800, given: str = "", **env: str) -> str:
        """Run a command in a service's first container; return what it prints."""
        options = [f"--env={name}={value}" for name, value in env.items()]
        container = self.containers(service)[0]
        return self.podman("exec", "-i", *options, container, *words, timeout=timeout, given=given)

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """Return what podman knows about a service's containers."""
        return [dict(json.loads(self.podman("inspect", one))[0]) for one in self.containers(service)]

    def look_after(self) -> None:
        """Ask each container that is not healthy yet how it is, once."""
        for container in self.containers():
            state = self.podman("inspect", "--format", "{{.State.Healthcheck.Status}}", container).strip()
            if state in ("starting", "unhealthy"):
                words = ["podman", "healthcheck", "run", container]
                subprocess.run(words, env=self.podman.env, capture_output=True, timeout=120)

    def unhealthy(self) -> list[str]:
        """Return the services that are not healthy."""
        form = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Healthcheck.Status}}'
        lines = [self.podman("inspect", "--format", form, one).split() for one in self.containers()]
        return [line[0] for line in lines if line[1:] in (["starting"], ["unhealthy"])]

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask Airflow's interface as its first user."""
        if not hasattr(self, "token"):
            who = {"username": "admin", "password": self.settings["AIRFLOW_ADMIN_PASSWORD"]}
            self.token = self._request("POST", "/auth/token", who, {})["access_token"]
        return self._request(method, f"/api/v2{path}", body, {"Authorization": f"Bearer {self.token}"})

    def _request(self, method: str, path: str, body: object, headers: dict[str, str]) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))

    def ran(self, dag: str, body: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Trigger a DAG and wait until the run has ended; return its task instances."""
        until = time.monotonic() + 300
        # The dag-processor may still be reading the files.
        while not _answers(lambda: self.call("PATCH", f"/dags/{dag}", {"is_paused": False})):
            assert time.monotonic() < until, f"Airflow does not know {dag}"
            time.sleep(5)
        run_id = self.call("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"]
        until = time.monotonic() + seconds
        while self.call("GET", f"/dags/{dag}/dagRuns/{run_id}")["state"] not in ("success", "failed"):
            assert time.monotonic() < until, f"{dag} did not end within {seconds:g} s"
            time.sleep(5)
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances?limit=100"
        return list(self.call("GET", path)["task_instances"])


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except urllib.error.HTTPError:
        return False
    return True


@contextmanager
def services(podman: Podman, seconds: float, **settings: str) -> Iterator[Services]:
    """Start all services, wait until they are healthy, and stop them at the end."""
    folder, port = podman.folder, free_port()
    file = folder / "settings.env"
    run("docker/secrets.sh", str(file))
    stand_ins = {
        f"{name.upper().replace('-', '_')}_IMAGE": f"localhost/angelia-{name}:local" for name in STAND_INS
    }
    more = {"ANGELIA_IMAGE": OURS, **stand_ins, **settings, "AIRFLOW_PORT": f"127.0.0.1:{port}"}
    more |= {"RECEIVE_PORT": f"127.0.0.1:{free_port()}"}
    file.write_text(file.read_text() + "".join(f"{name}={value}\n" for name, value in more.items()))
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    socket = f"unix://{folder}/podman.sock"
    # One call after the other: of two containers that podman 4.3 makes at once, each may lock a volume that
    # the other waits for, and both wait for ever.
    env = {**podman.env, "DOCKER_HOST": socket, "SETTINGS": str(file), "COMPOSE_PARALLEL_LIMIT": "1"}
    project = Services(podman, f"angelia-test-{port}", env, values, f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        # In a session of its own: Ctrl-C must not end what stops the containers.
        words = ["podman", "system", "service", "--time=0", socket]
        api = subprocess.Popen(words, env=podman.env, start_new_session=True)
        stack.callback(api.wait)
        stack.callback(api.terminate)
        stack.callback(project.compose, "down", "--volumes", "--timeout", "20")
        # What waits for a healthy service waits for this: podman itself never asks.
        ended = threading.Event()
        asking = threading.Thread(target=_ask, args=(project, ended))
        asking.start()
        stack.callback(asking.join)
        stack.callback(ended.set)
        # Grafana is in no package of Debian's. By name: compose fetches an image for a scale of nothing, too.
        wanted = sorted({*project.compose("config", "--services").split()} - {"grafana"})
        project.compose("up", "--detach", "--no-build", *wanted, timeout=seconds)
        until = time.monotonic() + seconds
        while project.unhealthy():
            assert time.monotonic() < until, f"not healthy within {seconds:g} s: {project.unhealthy()}"
            time.sleep(5)
        ended.set()
        yield project


def _ask(project: Services, ended: threading.Event) -> None:
    """Run the health checks of what is not healthy, until all is."""
    while not ended.wait(3):
        # A container that is just being made or removed cannot be asked; the next round finds it.
        try:
            project.look_after()
        except (AssertionError, subprocess.TimeoutExpired):
            continue
