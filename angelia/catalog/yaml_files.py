"""YAML files to raw documents, each value with its line, so that an error can point at it.

YAML 1.2 scalars only: `no` is a language and not false, `2026-11-14` a text that the model reads as a date,
`12:30` no number. A key given twice, a tag, an alias and a file of more than a megabyte are refused: what is
read must be what is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from angelia.catalog.problems import DocumentProblem
from angelia.errors import InvalidInput, unquoted
from angelia.plain_yaml import PlainLoader

MAX_BYTES = 1_000_000
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
PathInside = tuple[str | int, ...]


class _Loader(PlainLoader):
    """PyYAML resolves YAML 1.1 scalars; this one knows only those of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (as the base class has it)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Raw:
    """One raw document: its file, the line of each value, and each number as written."""

    file: str
    line: int
    value: Any
    lines: dict[PathInside, int] = field(default_factory=dict, compare=False)
    numbers: dict[PathInside, str] = field(default_factory=dict, compare=False)

    def at_path(self, path: PathInside) -> Any:
        """Return the value at a path that the document has."""
        value = self.value
        for step in path:
            value = value[step]
        return value

    def at(self, problem: DocumentProblem) -> str:
        """Return `file:line: kind/id: problem`, with the line of the innermost known path step."""
        path = problem.path
        while path and path not in self.lines:
            path = path[:-1]
        name = (
            f"{self.value.get('kind', '?')}/{self.value.get('id', '?')}"
            if isinstance(self.value, dict)
            else "document"
        )
        return f"{self.file}:{self.lines.get(path, self.line)}: {name}: {problem}"


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the YAML files at these paths, folders searched through, sorted, each once.

    Raises:
        InvalidInput: a path does not exist, or a folder holds no YAML.
    """
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in (".yaml", ".yml") and file.is_file()
            )
            if not inside:
                raise InvalidInput(f"no YAML file in {path}")
            files.update(dict.fromkeys(inside))
        elif path.is_file():
            files[path] = None
        else:
            raise InvalidInput(f"no file or folder {path}")
    return list(files)


def read_file(path: Path) -> tuple[list[Raw], list[str]]:
    """Return a file's documents, and what keeps others from being read (`file:line: …`)."""
    shown = str(path)
    try:
        # The size is checked before reading, so that a huge file costs no memory.
        if path.stat().st_size > MAX_BYTES:
            return [], [f"{shown}: more than {MAX_BYTES} bytes"]
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return [], [f"{shown}: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [], [f"{shown}: not UTF-8 (byte {error.start})"]
    documents: list[Raw] = []
    problems: list[str] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is None:
                    continue
                lines: dict[PathInside, int] = {}
                numbers: dict[PathInside, str] = {}
                problems += [
                    f"{shown}:{line}: {message}" for line, message in _walk(node, (), lines, numbers)
                ]
                value = loader.construct_document(node)
                if value is not None:
                    documents.append(Raw(shown, node.start_mark.line + 1, value, lines, numbers))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        # Documents before the faulty one stay: their own problems are reported in the same run.
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        problems.append(f"{shown}:{mark.line + 1 if mark else 1}: YAML: {unquoted(what)}")
    except (yaml.YAMLError, ValueError) as error:
        problems.append(f"{shown}: YAML: {unquoted(' '.join(str(error).split()))}")
    return documents, problems


def _walk(
    node: yaml.Node, path: PathInside, lines: dict[PathInside, int], numbers: dict[PathInside, str]
) -> Iterator[tuple[int, str]]:
    """Fill in the line of every value and the text of every number; yield keys given twice."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS:
        numbers[path] = str(node.value)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                yield key.start_mark.line + 1, f"{name} is given twice"
            seen.add(name)
            yield from _walk(value, (*path, name), lines, numbers)
            lines[*path, name] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield from _walk(value, (*path, position), lines, numbers)
