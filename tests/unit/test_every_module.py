"""Every module has a test file by its name, in the place that mirrors its own."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "tests" / "unit"
CODE = ("angelia", "models", "spark_jobs", "dags")
# Alembic runs them by itself, and the store's tests run Alembic.
MIGRATIONS = "angelia/catalog/migrations/"


def modules() -> list[str]:
    """Return the path of every module, from the project's folder, packages' faces aside."""
    paths = (path for root in CODE for path in (ROOT / root).rglob("*.py") if path.name != "__init__.py")
    named = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    return [name for name in named if not name.startswith(MIGRATIONS)]


def packages() -> dict[str, tuple[str, ...]]:
    """Return module -> its rooms from the package on: () for what stands at the top of angelia."""
    rooms = {name: tuple(name.split("/")[:-1]) for name in modules()}
    return {name: parts[1:] if parts[0] == "angelia" else parts for name, parts in rooms.items()}


ROOMS = packages()
# How many modules of a package share a name: two of them cannot share one flat test file.
NAMESAKES = Counter((rooms[:1], Path(name).stem) for name, rooms in ROOMS.items())


def homes(module: str) -> list[Path]:
    """Return the places where a module's test file may stand, the mirrored one first.

    Tests of a deep room may lie flat in a room above it. Where two rooms of a package have a module of one
    name, the file says which room: `test_ROOM_MODULE.py`.
    """
    rooms, stem = ROOMS[module], Path(module).stem
    word = stem.strip("_")
    if rooms == ("dags",):
        return [ROOT / "tests" / "dags" / f"test_{word}.py"]
    places = [UNIT.joinpath(*rooms, f"test_{word}.py")]
    for depth in range(len(rooms) - 1, 0, -1):
        above = UNIT.joinpath(*rooms[:depth])
        places.append(above / f"test_{rooms[-1]}_{word}.py")
        if NAMESAKES[rooms[:1], stem] == 1:
            places.append(above / f"test_{word}.py")
    return places + (commands(word) if rooms[:1] == ("commands",) else [])


def commands(word: str) -> list[Path]:
    """Return the files, in the rooms that a command is about, that have its name and type it."""
    named = sorted(
        path
        for name in (word, f"{word}_command")
        for path in UNIT.rglob(f"test_{name}.py")
        if path.parent.name != "benchmarks" and f'"{word}"' in path.read_text("utf-8")
    )
    return [UNIT / word / "test_commands.py", *named]


def names_of_tests(path: Path) -> list[str]:
    """Return the names of a file's tests; none where there is no file."""
    if not path.is_file():
        return []
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [name for name in functions if name.startswith("test_")]


def lacking() -> list[str]:
    """Return the modules that have no test file by their name."""
    return [name for name in modules() if not any(names_of_tests(path) for path in homes(name))]


def test_every_module_has_a_test_file_by_its_name() -> None:
    unknown = {name: homes(name)[0].relative_to(ROOT).as_posix() for name in lacking()}
    assert not unknown, "write the test file that stands behind each module"


@pytest.mark.parametrize(
    ("module", "home"),
    [
        ("angelia/errors.py", "tests/unit/test_errors.py"),
        ("angelia/lake/commit.py", "tests/unit/lake/test_commit.py"),
        ("angelia/delivery/worker/part.py", "tests/unit/delivery/worker/test_part.py"),
        ("models/scorer.py", "tests/unit/models/test_scorer.py"),
        ("dags/_notify.py", "tests/dags/test_notify.py"),
    ],
)
def test_a_modules_first_home_mirrors_its_place(module: str, home: str) -> None:
    assert homes(module)[0] == ROOT / home


def test_namesakes_of_two_rooms_cannot_share_a_file() -> None:
    flat = UNIT / "console" / "test_audiences.py"
    pages, people = homes("angelia/console/pages/audiences.py"), homes("angelia/console/people/audiences.py")
    assert flat not in pages + people
    assert not set(pages) & set(people)


def test_a_file_without_a_test_does_not_count(tmp_path: Path) -> None:
    empty = tmp_path / "test_empty.py"
    assert names_of_tests(empty) == []
    empty.write_text("def helper():\n    return 1\n")
    assert names_of_tests(empty) == []
    empty.write_text("async def test_it():\n    assert helper()\n")
    assert names_of_tests(empty) == ["test_it"]
