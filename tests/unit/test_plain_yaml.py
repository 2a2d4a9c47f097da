"""YAML from outside: plain values are read; what would grow or nest without end is refused."""

from __future__ import annotations

import pytest
import yaml

from angelia.plain_yaml import MAX_DEPTH, PlainLoader


def load(text: str) -> object:
    return yaml.load(text, Loader=PlainLoader)


def test_plain_documents_are_read() -> None:
    assert load("a: [1, {b: yes}]\nc: x") == {"a": [1, {"b": True}], "c": "x"}


def test_an_alias_is_refused_at_its_line() -> None:
    with pytest.raises(yaml.YAMLError, match="aliases") as refused:
        load("a: &big [1]\nb: *big\n")
    assert refused.value.problem_mark.line == 1


def test_levels_are_counted_in_depth_and_not_in_number() -> None:
    assert load("[" * (MAX_DEPTH - 1) + "0" + "]" * (MAX_DEPTH - 1))
    with pytest.raises(yaml.YAMLError, match="nested too deeply"):
        load("[" * MAX_DEPTH + "0" + "]" * MAX_DEPTH)
    assert len(load("\n".join("- [[1]]" for _ in range(3 * MAX_DEPTH)))) == 3 * MAX_DEPTH


def test_no_object_of_python_is_made() -> None:
    with pytest.raises(yaml.YAMLError):
        load("!!python/object/apply:os.getcwd []")
