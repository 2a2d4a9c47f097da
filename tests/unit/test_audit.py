"""The audit fails for a vulnerability only, and says when nothing was looked up."""

from __future__ import annotations

import json
import sys

import pytest

from tests.audit import main


def says(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


def test_an_audit_out_of_reach_is_said_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([sys.executable, "-c", "import sys; sys.exit('ConnectionError: no network')"]) == 0
    assert "not done" in (out := capsys.readouterr().out)
    assert "no network" in out
    assert main(["/no/such/program"]) == 0
    assert "not done" in capsys.readouterr().out


def test_a_vulnerability_fails_the_audit(capsys: pytest.CaptureFixture[str]) -> None:
    vulnerable = {"name": "p", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    assert main(says(json.dumps({"dependencies": [vulnerable]}), 1)) == 1
    assert "p 1: PYSEC-1, fixed in 2" in capsys.readouterr().out
    assert main(says(json.dumps({"dependencies": [{"name": "p", "version": "1", "vulns": []}]}))) == 0


def test_an_audit_that_knew_no_package_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(says(json.dumps({"dependencies": [{"name": "p", "skip_reason": "not found"}]}))) == 0
    assert "not done" in capsys.readouterr().out
