"""One breakage: code as it stands, what takes its place, and the tests that should notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One breakage.

    Attributes:
        code: stands once in all the code that is broken (`BROKEN` in `__main__`).
        tests: folders or files below `tests/unit`; `../dags/...` names one beside it.
    """

    name: str
    code: str
    broken: str
    tests: tuple[str, ...]
