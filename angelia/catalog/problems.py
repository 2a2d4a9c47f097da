"""Problems of documents: the path inside the document, and the nearest known name.

With both, an operator finds the place and can correct it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Key = tuple[str, str]
"""Kind and id of a document."""


@dataclass(frozen=True)
class DocumentProblem:
    """One problem of one document: the path inside it (keys and positions) and the message."""

    path: tuple[str | int, ...]
    message: str

    @property
    def dotted(self) -> str:
        """Path as people write it: `arms[1].share_pct`."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")

    def __str__(self) -> str:
        return f"{self.dotted}: {self.message}" if self.path else self.message


@dataclass(frozen=True)
class Notice:
    """What may be meant otherwise, or cannot work, though every document is well-formed.

    Attributes:
        key: kind and id of the document to mend.
        problem: where in it, and what to do.
        is_error: whether an apply that brings it about is refused; otherwise it is a warning.
        about: further documents that it comes from.
        only_news: say it only while one of these documents changes (what is over stays over).
        empties: as it stands, nothing can be sent.
    """

    key: Key
    problem: DocumentProblem
    is_error: bool = False
    about: tuple[Key, ...] = ()
    only_news: bool = False
    empties: bool = False

    @property
    def keys(self) -> set[Key]:
        """All documents that it comes from."""
        return {self.key, *self.about}

    def __str__(self) -> str:
        return f"{self.key[0]}/{self.key[1]}: {self.problem}"


class Doubt(NamedTuple):
    """One thing about one document; the fields are those of `Notice`."""

    path: tuple[str | int, ...]
    says: str
    about: tuple[Key, ...] = ()
    only_news: bool = False
    empties: bool = False


def problem_of(model: type[BaseModel], detail: ErrorDetails) -> DocumentProblem:
    """Return what a pydantic error of `model` says, in an operator's words."""
    kind, path = detail["type"], tuple(step for step in detail["loc"] if step != "[key]")
    if path and path[-1] in (
        "str",
        "int",
        "float",
    ):  # a member of a union of scalars: the person wrote one value
        return DocumentProblem(path[:-1], "should be a text or a number")
    if kind == "extra_forbidden":
        return DocumentProblem(path, f"unknown field{nearest(str(path[-1]), _fields_at(model, path[:-1]))}")
    if kind == "missing":
        return DocumentProblem(path, "is required")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if kind != "value_error" and isinstance(detail.get("input"), str | int | float | None):
        shown = repr(detail["input"])
        message += f", got {shown if len(shown) <= 80 else shown[:80] + '…'}"
    return DocumentProblem(path, message[:1].lower() + message[1:])


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?`, or the known names where none is near."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; one of {', '.join(names)}" if names else ""


def type_name(raw: object) -> str:
    """Return what people call a YAML value's type."""
    return {NoneType: "nothing", str: "a text", list: "a list", dict: "a mapping"}.get(
        type(raw), f"a {type(raw).__name__}"
    )


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    current: Any = model
    for step in path:
        current = _strip(current)
        if _is_model(current):
            current = current.model_fields[step].annotation if step in current.model_fields else None
        else:  # a position in a list, or a key of a mapping: the element's type
            current = next((option for option in get_args(current) if _is_model(_strip(option))), None)
    current = _strip(current)
    return list(current.model_fields) if _is_model(current) else []


def _strip(annotation: Any) -> Any:
    """Return X of Annotated[X, ...] and of X | None."""
    if get_origin(annotation) is Annotated:
        return _strip(get_args(annotation)[0])
    options = [option for option in get_args(annotation) if option is not NoneType]
    return options[0] if NoneType in get_args(annotation) and len(options) == 1 else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
