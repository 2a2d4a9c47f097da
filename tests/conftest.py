"""Fixtures for every test: one lazy Spark session, a settings home, and a lake in it."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from angelia.commands.loop import environment
from angelia.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# A busy machine draws slowly, which is no fault of the code under test. CI judges one commit, so it draws the
# same examples each time; everywhere else they are new ones.
hypothesis.settings.register_profile(
    "busy",
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
)
hypothesis.settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Give the workers of pytest-xdist a main file, and programs that tests start Ctrl-C.

    Great Expectations imports pyspark.sql.connect, which ends a process without one.
    """
    # A shell's background job inherits an ignored Ctrl-C, and so would every program that a test sends one.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main = sys.modules["__main__"]
    if hasattr(config, "workerinput") and not hasattr(main, "__file__"):
        main.__file__ = __file__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count the lines that unit tests run, and of them not those of property tests.

    These run the same lines a hundred times, each four to six times as long as without counting.
    """
    units = Path(__file__).parent / "unit"
    for item in items:
        if not item.path.is_relative_to(units) or hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the calling shell's `ANGELIA_*`, so that no test touches a developer's lake.

    ANGELIA_DATA stays: it names the real data sets.
    """
    for name in list(os.environ):
        if name.startswith("ANGELIA_") and name != "ANGELIA_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Callable[..., Path]:
    """Return a function from names of real data sets to their folder, ANGELIA_DATA.

    Without the data sets the test is skipped; in CI it fails.
    """

    def folder(*names: str) -> Path:
        data = Path(os.environ.get("ANGELIA_DATA") or os.devnull)
        missing = [name for name in names if not (data / name).is_dir()]
        if missing:
            reason = f"ANGELIA_DATA does not point at a folder that holds {', '.join(missing)}"
            if os.environ.get("CI"):
                pytest.fail(f"{reason}; CI must not skip what is tested on real data")
            pytest.skip(reason)
        return data

    return folder


@pytest.fixture
def settings_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point ANGELIA_HOME at an empty folder with a space in its path, and return it.

    It has 14 shard bits, as samples have. Spark's workers were started with the environment of the first
    Spark test: jobs must read settings on the driver only.
    """
    home = tmp_path / "angelia home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("ANGELIA_HOME", str(home))
    monkeypatch.setenv("ANGELIA_SHARD_BITS", "14")
    return home


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return an empty local lake: that of `settings_home`, if the test asks for both."""
    return Lake.open(str(tmp_path / "angelia home" / "lake"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Yield the test run's one Spark session; the first use takes about 10 s.

    It has local[2], no UI, UTC, 4 shuffle partitions and Arrow on. It is the active session, so
    `spark_jobs.running.session.spark_session` takes it up, and never stops it.
    """
    from pyspark.sql import SparkSession

    from spark_jobs.running.session import OPTIONS

    spec = importlib.util.find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    before = dict(os.environ)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_HOME"] = str(Path(spec.origin).parent)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_SUBMIT_OPTS"] = environment(Path())["SPARK_SUBMIT_OPTS"]
    scratch = tmp_path_factory.mktemp("spark")
    options: dict[str, Any] = {
        **OPTIONS,
        "spark.driver.memory": "2g",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.shuffle.partitions": "4",
        "spark.pyspark.python": sys.executable,
    }
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
        os.environ.clear()
        os.environ.update(before)
