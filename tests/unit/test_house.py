"""The house keeps its shape: no circles, no crowded folder or file, summaries that fit."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES_AT_MOST = 15
# Rooms that are over the limit; the list may only become shorter. Channels are one module per provider by
# design.
ROOMY = {"angelia/delivery/channels": 99}
SHARE_AT_MOST = 0.15
LINES_AT_MOST = 400
# Files that are longer for a reason, with the length they may not pass: none.
LONG: dict[str, int] = {}
SUMMARY_BELOW = 90
NAME_AT_MOST = 60
# Lines a function has before the rule of the comment holds for it.
LONG_FUNCTION = 30
# A function with so many branches has one whose reason cannot be read off its condition.
BRANCHES_FROM = 2
CODE = ("angelia", "models", "spark_jobs", "dags", "benchmarks")
# Words that say nothing of a value; a comprehension is short enough to be read without.
EMPTY_NAMES = {"found", "one", "some", "said", "told"}


def modules(*roots: str) -> dict[str, Path]:
    """Return dotted name -> file of every module below the roots."""
    named = {}
    for path in (path for root in roots for path in (ROOT / root).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@dataclass(frozen=True)
class FileFacts:
    """What the rules ask of a file, from one walk: parsing all files takes seconds."""

    imports: list[tuple[str, str]]  # module, name; the name is empty where the module itself is imported
    docstrings: list[tuple[int, str, bool]]  # line, first line, whether a blank line follows if any does
    classes: list[str]
    tests: list[str]
    bound: list[tuple[int, str]]
    silent: list[tuple[int, str]]


@cache
def facts(path: Path) -> FileFacts:
    """Return a file's facts."""
    text = path.read_text("utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    seen = FileFacts([], [], [], [], bound_names(nodes), uncommented_functions(text, nodes))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            seen.imports.extend((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            seen.imports.extend((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first, _, rest = (ast.get_docstring(node) or "").partition("\n")
            is_apart = not rest or rest.startswith("\n")
            seen.docstrings.append((getattr(node, "lineno", 1), first, is_apart))
            if isinstance(node, ast.ClassDef):
                seen.classes.append(node.name)
            elif not isinstance(node, ast.Module) and node.name.startswith("test"):
                seen.tests.append(node.name)
    return seen


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the known modules that a file imports, wherever in the file."""
    wanted = {
        f"{module}.{name}" if f"{module}.{name}" in known else module for module, name in facts(path).imports
    }
    return wanted & known.keys()


def graph(known: dict[str, Path]) -> dict[str, set[str]]:
    """Return module -> modules that it imports.

    A package's face hands names on and imports only its own.
    """
    return {name: imports(path, known) - {name} for name, path in known.items()}


def test_no_circle_between_files() -> None:
    known = modules("angelia", "models", "spark_jobs", "dags")
    assert len(known) > 200
    list(TopologicalSorter(graph(known)).static_order())


def test_a_circle_would_be_seen() -> None:
    arrows = graph(modules("angelia"))
    arrows["angelia.errors"] |= {"angelia.lake.lake"}
    with pytest.raises(CycleError):
        list(TopologicalSorter(arrows).static_order())


def test_every_room_may_know_jobs_or_is_forbidden_to() -> None:
    text = (ROOT / ".importlinter").read_text("utf-8")
    contract = text.partition("[importlinter:contract:roots]")[2].partition("forbidden_modules")[0]
    rooms = {path.parent.name for path in (ROOT / "angelia").glob("*/__init__.py")}
    forbidden = set(re.findall(r"^ +angelia\.(\w+)$", contract, re.MULTILINE))
    assert rooms - forbidden == {"asking", "commands", "console", "rehearsal"}


def test_no_folder_over_fifteen_modules() -> None:
    folders: dict[str, int] = {}
    for path in modules(*CODE).values():
        if path.name != "__init__.py":
            folder = path.parent.relative_to(ROOT).as_posix()
            folders[folder] = folders.get(folder, 0) + 1
    over = {folder: n for folder, n in folders.items() if n > ROOMY.get(folder, MODULES_AT_MOST)}
    assert not over


def test_no_file_over_four_hundred_lines() -> None:
    roots = ("angelia", "benchmarks", "dags", "docs", "models", "spark_jobs", "tests")
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for root in roots
        for path in (ROOT / root).rglob("*.py")
    }
    over = {name: n for name, n in lines.items() if n > LONG.get(name, LINES_AT_MOST)}
    assert not over
    short_by_now = sorted(name for name in LONG if lines.get(name, 0) <= LINES_AT_MOST)
    assert not short_by_now, "take them off LONG"


def test_a_docstring_begins_with_one_short_line() -> None:
    wrong = []
    for root in ("angelia", "benchmarks", "dags", "docs", "models", "spark_jobs", "tests"):
        for path in (ROOT / root).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            # A second line that is not blank means that the summary was wrapped.
            wrong += [
                f"{name}:{line}: {first}"
                for line, first, is_apart in facts(path).docstrings
                if len(first) >= SUMMARY_BELOW or not is_apart
            ]
    assert not wrong


def test_no_package_over_its_share_of_lines() -> None:
    lines: dict[str, int] = {}
    for name, path in modules("angelia", "models", "spark_jobs", "dags").items():
        parts = name.split(".")
        package = ".".join(parts[:2]) if parts[0] == "angelia" else parts[0]
        lines[package] = lines.get(package, 0) + len(path.read_text("utf-8").splitlines())
    whole = sum(lines.values())
    over = {package: round(n / whole, 3) for package, n in lines.items() if n > SHARE_AT_MOST * whole}
    assert not over


def test_no_test_name_over_sixty_characters() -> None:
    names = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for name in facts(path).tests
        if len(name) > NAME_AT_MOST
    }
    assert not names


def bound_names(nodes: list[ast.AST]) -> list[tuple[int, str]]:
    """Return (line, name) of everything that a file binds, comprehensions' own variables apart."""
    own = {
        id(name) for node in nodes if isinstance(node, ast.comprehension) for name in ast.walk(node.target)
    }
    names = []
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if id(node) not in own:
                names.append((node.lineno, name))
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                names.append((node.lineno, name))
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.alias(asname=str(name))
            ):
                names.append((node.lineno, name))
            case ast.MatchMapping(rest=str(name)):
                names.append((node.lineno, name))
    return names


def test_names_say_what_a_value_is() -> None:
    empty = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name}"
        for path in modules(*CODE, "docs", "tests").values()
        for line, name in facts(path).bound
        if name in EMPTY_NAMES
    ]
    assert not empty


@pytest.mark.parametrize(
    "text",
    [
        "found = 1",
        "found: int",
        "a, (found, *b) = c",
        "for found in a: pass",
        "with a as found: pass",
        "try: pass\nexcept E as found: pass",
        "def f(found): pass",
        "def found(): pass",
        "lambda found: 1",
        "[found := a for a in b]",
        "self.found = 1",
        "import a as found",
        "match a:\n case [found, *_]: pass",
        "match a:\n case {**found}: pass",
    ],
)
def test_every_way_to_bind_a_name_is_seen(text: str) -> None:
    assert "found" in {name for _, name in bound_names(list(ast.walk(ast.parse(text))))}


def test_a_comprehensions_variable_may_be_short() -> None:
    nodes = list(ast.walk(ast.parse("[a for one, (found, b) in c for some in d]")))
    assert bound_names(nodes) == []


def test_a_class_name_has_one_meaning() -> None:
    homes: dict[str, list[str]] = {}
    for path in modules(*CODE).values():
        for name in facts(path).classes:
            homes.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def uncommented_functions(text: str, nodes: list[ast.AST]) -> list[tuple[int, str]]:
    """Return (line, name) of long functions that branch without one comment inside."""
    branching = [
        node
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= LONG_FUNCTION
        and sum(isinstance(part, ast.If | ast.While | ast.Try | ast.Match) for part in ast.walk(node))
        >= BRANCHES_FROM
    ]
    if not branching:
        return []
    # Orders to a tool say nothing to a reader.
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|fmt:|pragma:)", token.string)
    }
    return [
        (node.lineno, node.name)
        for node in branching
        if comments.isdisjoint(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    ]


def test_a_long_function_with_branches_says_why() -> None:
    silent = [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {name}"
        for path in modules(*CODE).values()
        for line, name in facts(path).silent
    ]
    assert not silent


@pytest.mark.parametrize(
    ("lines", "comment", "is_silent"),
    [(31, "", True), (30, "", False), (31, "  # why", False), (31, "  # noqa: S101", True)],
)
def test_a_long_function_without_a_comment_is_seen(lines: int, comment: str, is_silent: bool) -> None:
    branches = "def f():\n if a:\n  b()\n while c:\n  d()" + comment + "\n"
    text = branches + " e()\n" * (lines - 5)
    assert bool(uncommented_functions(text, list(ast.walk(ast.parse(text))))) is is_silent
    calmer = text.replace(" while c:", " with c:")
    assert not uncommented_functions(calmer, list(ast.walk(ast.parse(calmer))))
