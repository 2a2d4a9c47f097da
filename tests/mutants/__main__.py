"""Break the code in one place at a time, and list the breakages that no test catches.

Usage: `python -m tests.mutants [WORDS]`. WORDS choose breakages by their names. Each stands in a copy of the
code. Prints a table on stderr and one JSON line on stdout; exit code 1 if a breakage survived or no longer
applies.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.mutants.table import TABLE, Mutant

ROOT = Path(__file__).parents[2]
COPIED = (
    "angelia",
    "models",
    "spark_jobs",
    "benchmarks",
    "sql",
    "dags",
    "campaigns",
    "tests",
    "docs",
    "pyproject.toml",
)
BROKEN = ("angelia", "models", "spark_jobs", "dags")
SECONDS = 900  # a loaded machine takes minutes for what takes seconds


def place(root: Path, code: str) -> Path | None:
    """Return the one file of our code that holds the code, once; None if none or several do."""
    files = [path for folder in BROKEN for path in sorted((root / folder).rglob("*.py"))]
    counts = [(path, path.read_text("utf-8").count(code)) for path in files]
    holding = [(path, n) for path, n in counts if n]
    return holding[0][0] if len(holding) == 1 and holding[0][1] == 1 else None


def run(root: Path, tests: tuple[str, ...], seconds: float = SECONDS) -> int:
    """Run tests of the copy and return pytest's exit code."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    files = [f"tests/unit/{name}" for name in tests]
    # What a test starts by itself must meet the broken copy too, and not an installed one.
    copied = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        [*command, *files], cwd=root, env=copied, capture_output=True, timeout=seconds, check=False
    ).returncode


@cache
def seconds_unbroken(root: Path, tests: tuple[str, ...]) -> float | None:
    """Return how long the tests take unbroken; None if they fail anyway, which catches nothing."""
    begun = time.monotonic()
    try:
        return time.monotonic() - begun if run(root, tests) == 0 else None
    except subprocess.TimeoutExpired:
        return None


def try_one(root: Path, mutant: Mutant) -> str:
    """Break the copy, run the nearest tests, mend it, and return what came of it."""
    path = place(root, mutant.code)
    unbroken = None if path is None else seconds_unbroken(root, mutant.tests)
    if path is None or unbroken is None:
        return "does not apply"
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutant.code, mutant.broken), "utf-8")
    try:
        # Hanging is noticed, too; being slow among other work is not.
        code = run(root, mutant.tests, max(SECONDS, 10 * unbroken))
    except subprocess.TimeoutExpired:
        return "caught"
    finally:
        path.write_text(text, "utf-8")
    # 1: a test failed; anything above: the tests did not run, which catches nothing.
    return {0: "survived", 1: "caught"}.get(code, "does not apply")


def main(words: list[str]) -> int:
    """Try all that the words choose."""
    chosen = [mutant for mutant in TABLE if not words or any(word in mutant.name for word in words)]
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="angelia-mutants-") as name:
        root = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, root / part)
        for mutant in chosen:
            results[mutant.name] = try_one(root, mutant)
            sys.stderr.write(f"{results[mutant.name]:<15} {mutant.name}\n")
    counts = {
        word: sum(result == word for result in results.values())
        for word in ("caught", "survived", "does not apply")
    }
    sys.stdout.write(json.dumps({**counts, "mutants": results}) + "\n")
    return 0 if counts["caught"] == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
