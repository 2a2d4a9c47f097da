"""Every benchmark has one form of result."""

from __future__ import annotations

import importlib
from typing import Any, cast, get_type_hints

import pytest

from benchmarks.__main__ import names
from benchmarks.harness import result


@pytest.mark.parametrize("name", names())
def test_every_benchmark_returns_the_one_form(name: str) -> None:
    assert get_type_hints(importlib.import_module(f"benchmarks.{name}").main)["return"] is result.Result


@pytest.mark.parametrize(
    "figures", [{"messages": 1}, {"params": {}, "ours": {}, "peers": {"x": 1}, "runs": 1}]
)
def test_another_form_is_refused(figures: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="another form"):
        result.line("deliver", cast(result.Result, figures), {})
