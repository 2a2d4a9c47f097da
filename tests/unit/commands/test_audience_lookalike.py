"""`angelia audience lookalike`: a refusal is passed on, and the read-out is in words."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.commands.audience_lookalike import check_name, find, lines
from angelia.errors import AngeliaError, InvalidInput

FOUND: dict[str, Any] = {
    "list": "like_vip",
    "users": 12_000,
    "auc": 0.8123,
    "lift_by_decile": [3.14, 1.0],
    "top_features": [{"feature": f"f{k}", "gain_pct": 40.0 - k} for k in range(7)],
    "left_out": [],
}


def test_a_list_is_called_by_a_name() -> None:
    check_name("like_vip_2")
    for wrong in ("", "2vip", "Vip", "a b", "x" * 65):
        with pytest.raises(InvalidInput, match="lower-case letters"):
            check_name(wrong)


def test_the_read_out_is_three_lines() -> None:
    first, second, third = lines(FOUND)
    assert first == "like_vip: 12,000 people most like the seed; use it as in_list('like_vip')"
    assert "AUC 0.812" in second
    assert second.endswith("3.1 1.0")
    assert third == "distinguished by f0 40 %, f1 39 %, f2 38 %, f3 37 %, f4 36 %"
    alone = lines(FOUND | {"top_features": [], "left_out": ["age_years"]})[2]
    assert alone == "distinguished by nothing; not used, since the seed's condition names them: age_years"


@pytest.mark.parametrize(
    ("code", "words", "kind", "says"),
    [
        (2, "error: the seed has 3 people; name more", InvalidInput, "the seed has 3 people; name more"),
        (2, "warning", AngeliaError, "ended with exit code 2"),
        (1, "error: not passed on", AngeliaError, "ended with exit code 1"),
    ],
)
def test_a_refusal_is_passed_on_and_a_crash_is_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, code: int, words: str, kind: type[AngeliaError], says: str
) -> None:
    """A small program stands where Python does, and ends as the job may."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(AngeliaError) as refused:
        find("like_vip", "TRUE", 10, "2026-11-14", 1)
    assert type(refused.value) is kind
    assert says in refused.value.one_line()
