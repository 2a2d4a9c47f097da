"""`angelia audience …` as an operator types it, for the tests of this room."""

from __future__ import annotations

import json

import pytest

from angelia import cli

People = list[dict[str, object]]


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the command; return its exit code, standard output and standard error."""
    try:
        cli.main(["audience", *map(str, args)])
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def asked(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    """Run the command with --json, check that it succeeds silently, and return its answer."""
    code, out, err = run(capsys, *args, "--json")
    assert (code, err) == (0, "")
    answer: dict[str, object] = json.loads(out)
    return answer
