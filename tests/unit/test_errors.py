"""Errors are one line with their fix, and show neither addresses nor quoted values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from angelia.errors import INTERRUPTED, AngeliaError, unquoted, without_addresses

ROOT = Path(__file__).parents[2]


def test_an_error_is_one_line_with_its_fix() -> None:
    error = AngeliaError("no column\n  'age'", fix="name it\nin the mapping")
    assert error.one_line() == "no column 'age'; name it in the mapping"
    assert AngeliaError("full").one_line() == "full"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to ann.lee@example.org: refused", "to …: refused"),
        ("cut short: ann@exa", "cut short: …"),
        ("call +49 (30) 123-456 now", "call … now"),
        ("token " + "a" * 65, "token …"),
        # A sha256, a commit's ref and a short number are no addresses.
        ("object " + "a" * 64, "object " + "a" * 64),
        ("user_days ds=2026-11-14@3", "user_days ds=2026-11-14@3"),
        ("+12345 rows", "+12345 rows"),
    ],
)
def test_addresses_become_dots_and_other_words_stay(text: str, shown: str) -> None:
    assert without_addresses(text) == shown


def test_quoted_values_become_dots_but_for_signs_and_names() -> None:
    text = """Could not convert 'ann lee' in "born"; expected ',' near '<end of line>'"""
    assert unquoted(text) == "Could not convert … in …; expected ',' near '<end of line>'"


@pytest.mark.parametrize(
    ("words", "imported"),
    [
        ([str(Path(sys.executable).with_name("angelia")), "doctor"], "typer"),
        (["-m", "angelia.cli", "doctor"], "typer"),
        (["-m", "models.train", "--ds", "2026-11-14"], "lightgbm"),
        (["-m", "spark_jobs", "plan_dispatch", "--ds", "2026-11-14"], "typer"),
        (["-m", "spark_jobs.plan_dispatch", "--ds", "2026-11-14"], "numpy"),
        (["-m", "benchmarks", "--list"], "uuid"),
    ],
)
def test_ctrl_c_amid_imports_is_one_line(words: list[str], imported: str, tmp_path: Path) -> None:
    """The key is pressed while the named module is imported, the first on the path."""
    (tmp_path / f"{imported}.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=os.environ | path)
    assert (done.returncode, done.stderr, done.stdout) == (130, INTERRUPTED, "")


def test_a_pool_s_worker_ends_without_a_word(tmp_path: Path) -> None:
    """A worker that waits for work has imported the package as its parent's main module does."""
    code = """if True:
        import multiprocessing, os, signal, sys
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        import angelia
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                os.kill(pool.submit(os.getpid).result(), signal.SIGINT)
                try:
                    pool.submit(os.getpid).result()
                except BrokenProcessPool:
                    sys.exit(5)
    """
    # A file, for a worker imports its parent's main module only from one.
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (5, "")


def test_who_imports_the_package_keeps_their_hook() -> None:
    code = "import sys, angelia; print(sys.excepthook is sys.__excepthook__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "True\n"
