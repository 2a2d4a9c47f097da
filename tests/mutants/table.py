"""Breakages of our own: code as it stands, what takes its place, and the tests that should notice. A file is
found by its code, not by its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One breakage; `code` stands once in all of `angelia`, `tests` are folders or files of `tests/unit`."""

    name: str
    code: str
    broken: str
    tests: tuple[str, ...]


TABLE = (
    Mutant(
        "a zombie counts as alive",
        'return None if fields[0] in ("Z", "X") else fields[19]',
        "return fields[19]",
        ("delivery/test_ledger.py",),
    ),
    Mutant(
        "the key of rejects is readable by all",
        "descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)",
        "descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)",
        ("importing/test_rejects.py",),
    ),
    Mutant(
        "every interval counts alone",
        "if p > level / (len(rows) - rank):",
        "if p > level:",
        ("effects/test_multiple.py",),
    ),
)
