"""`angelia doctor`: what is installed, reachable and configured, and how to get the rest.

Reads this machine and the places that the settings name; leaves nothing behind (a probe object in the lake is
created and deleted again; a folder that does not exist yet is only checked for permission). Exit code 2 if
something essential is missing.

Surprise: Airflow and Spark are looked up, not imported, so the answer takes a second or two.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from angelia.config import Settings, load_settings
from angelia.errors import AngeliaError
from angelia.lake.opening import open_store
from angelia.output import JsonFlag, emit

JAVA_LEAST = 17  # Source: Spark 4.3 documentation, "Spark runs on Java 17/21"
VECTOR_MODULE = "jdk.incubator.vector"
PACKAGES = (
    "apache-airflow",
    "pyspark",
    "pyarrow",
    "duckdb",
    "lightgbm",
    "pyroaring",
    "great-expectations",
    "sqlalchemy",
    "boto3",
)
GIB = 2**30
DISK_LEAST, DISK_GOOD, MEMORY_GOOD = 1 * GIB, 10 * GIB, 6 * GIB
SETUP = "run `make setup`"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: a thing, its state, what the probe saw, and the fix."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    essential: bool = True

    def line(self) -> str:
        """Return the finding as a line of text."""
        word = "ok" if self.ok else "missing" if self.essential else "weak"
        return f"{word:<8}{self.name}: {self.detail}" + (f"; {self.fix}" if self.fix and not self.ok else "")


def examine() -> list[Finding]:
    """Run every probe; a probe that raises becomes a finding of its own."""
    findings = [*_python(), *_packages(), *_java(), *_spark()]
    try:
        settings = load_settings()
    except AngeliaError as error:
        return [
            *findings,
            Finding("settings", False, error.message, error.fix or "correct or unset the variable"),
        ]
    findings.append(
        Finding(
            "settings",
            True,
            (
                f"branch {settings.branch}, shard bits {settings.shard_bits}, plan starts "
                f"{settings.lead_hours} h after ds"
            ),
        )
    )
    probes: tuple[Callable[[Settings], Finding], ...] = (_disk, _memory, _lake, _catalog, _models)
    return findings + [_guarded(probe, settings) for probe in probes]


def command(as_json: JsonFlag = False) -> None:
    """Tell what is installed, reachable and configured, and how to get what is missing."""
    findings = examine()
    missing = [one for one in findings if not one.ok and one.essential]
    emit(
        {"ok": not missing, "findings": [asdict(one) for one in findings]},
        (one.line() for one in findings),
        as_json,
    )
    if missing:
        raise AngeliaError(f"missing: {', '.join(one.name for one in missing)}", fix=missing[0].fix or None)


def _guarded(probe: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return probe(settings)
    except AngeliaError as error:
        return Finding(probe.__name__.strip("_"), False, error.message, error.fix or "")
    except Exception as error:  # noqa: BLE001 - a store's driver may raise anything; the doctor reports it
        return Finding(
            probe.__name__.strip("_"),
            False,
            f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}",
        )


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "python",
        (3, 11) <= sys.version_info[:2] <= (3, 13),
        version,
        "install Python 3.11, 3.12 or 3.13, then `make setup`",
    )
    zones = len(zoneinfo.available_timezones())
    yield Finding(
        "timezones",
        zones > 300,
        f"{zones} IANA names",
        "install the system package tzdata (or `pip install tzdata`)",
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        version = _version(package)
        yield Finding(package, version is not None, version or "not installed", SETUP)
    client = _version("pyspark-client")
    yield Finding(
        "pyspark-client absent",
        client is None,
        "absent" if client is None else f"{client} is installed and overwrites files of pyspark",
        "uninstall pyspark-client, then reinstall pyspark, or run `make setup` anew",
    )


def _java() -> Iterator[Finding]:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    get = (
        f"install a full JDK {JAVA_LEAST} or later (for example the system package "
        f"openjdk-{JAVA_LEAST}-jdk-headless), or point JAVA_HOME at one"
    )
    if java is None or not Path(java).is_file():
        yield Finding(
            "java",
            False,
            f"not at {java} (JAVA_HOME)" if home else "not on the PATH, and JAVA_HOME is not set",
            get,
        )
        return
    output = _run([java, "-version"])
    match = re.search(r'version "(\d+)(?:\.(\d+))?', output)
    if match is None:
        yield Finding("java", False, "does not print its version", get)
        return
    major = int(match[2] or 0) if match[1] == "1" else int(match[1])  # "1.8.0" is Java 8
    yield Finding(
        "java",
        major >= JAVA_LEAST,
        f"Java {major}" + ("" if major >= JAVA_LEAST else f", Spark needs {JAVA_LEAST}"),
        get,
    )
    # Trimmed runtimes have the right version, yet Spark fails on them at its start.
    has_vector = VECTOR_MODULE in _run([java, "--list-modules"])
    yield Finding(
        "java modules",
        has_vector,
        f"{VECTOR_MODULE} {'present' if has_vector else 'absent: a trimmed runtime, Spark will not start'}",
        get,
    )


def _run(arguments: list[str]) -> str:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _spark() -> Iterator[Finding]:
    version = _version("pyspark")
    spec = importlib.util.find_spec("pyspark")
    if version is None or spec is None or spec.origin is None:
        return  # the finding about the package says so
    given = os.environ.get("SPARK_HOME")
    home = Path(given) if given else Path(spec.origin).parent
    jars = sorted((home / "jars").glob("spark-core_*.jar"))
    versions = [match[1] for jar in jars if (match := re.search(r"-(\d[^-]*)\.jar$", jar.name))]
    detail = f"pyspark {version}, jars {', '.join(versions) or 'none'}" + (" (SPARK_HOME)" if given else "")
    yield Finding(
        "spark jars",
        versions == [version],
        detail,
        "unset SPARK_HOME" if given else "reinstall pyspark: run `make setup`",
    )


def _disk(settings: Settings) -> Finding:
    place = _nearest(settings.home.absolute())
    free = shutil.disk_usage(place).free
    get = "free space, or point ANGELIA_HOME elsewhere"
    return Finding(
        "disk",
        free >= DISK_GOOD,
        f"{free / GIB:.1f} GiB free at ANGELIA_HOME",
        get,
        essential=free < DISK_LEAST,
    )


def _memory(settings: Settings) -> Finding:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    listed = Path("/proc/meminfo")
    # MemAvailable counts caches that the kernel would release; the free pages above do not.
    if listed.is_file():
        match = re.search(r"^MemAvailable:\s+(\d+) kB", listed.read_text(), re.MULTILINE)
        free = int(match[1]) * 1024 if match else free
    return Finding(
        "memory",
        free >= MEMORY_GOOD,
        f"{free / GIB:.1f} GiB available",
        "Spark alone takes 4 GiB by default",
        essential=False,
    )


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _folder(name: str, path: Path, variable: str) -> Finding:
    """Check whether a folder can be written, or created where it is missing; create nothing."""
    nearest = _nearest(path)
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    detail = (
        ("writable" if path.exists() else "does not exist yet, will be created")
        if writable
        else "cannot be written"
    )
    return Finding(name, writable, detail, f"correct its permissions, or set {variable}")


def _lake(settings: Settings) -> Finding:
    return _store("lake", settings.lake_url(), settings)


def _store(name: str, url: str, settings: Settings) -> Finding:
    """Say whether a folder or bucket can be written and lets one of several creators win."""
    if not url.startswith("s3://") and not Path(url).exists():
        return _folder(name, Path(url), f"ANGELIA_{name.upper()}")
    store = open_store(url, settings.s3_endpoint)
    key = f"doctor/{secrets.token_hex(8)}"
    if not store.create(key, b"probe"):
        return Finding(
            name,
            False,
            "a conditional create of a fresh name was refused",
            "use a store that honours conditional creates",
        )
    second = store.create(key, b"other")
    store.delete(key)
    local = store.local_path(key)
    if local is not None:
        with suppress(OSError):  # another doctor's probe is in it
            local.parent.rmdir()
    kind = "S3" if url.startswith("s3://") else "local folder"
    detail = (
        f"{kind}, writable, conditional create honoured"
        if not second
        else f"{kind}: a second create of one name was accepted"
    )
    return Finding(
        name,
        not second,
        detail,
        "messages could be sent twice, and models promoted twice: use a store that honours If-None-Match",
    )


def _catalog(settings: Settings) -> Finding:
    from angelia.catalog import schema

    file = schema.sqlite_file(settings.catalog_url())
    if file is not None and not file.exists():
        return _folder("catalog", file, "ANGELIA_CATALOG")
    kind, state = schema.standing(settings.catalog_url())
    if file is not None and not os.access(file, os.W_OK):
        return Finding(
            "catalog",
            False,
            "sqlite file cannot be written",
            "correct its permissions, or set ANGELIA_CATALOG",
        )
    return Finding("catalog", True, f"{kind}, {state}", "")


def _models(settings: Settings) -> Finding:
    return _store("models", settings.models_url(), settings)
