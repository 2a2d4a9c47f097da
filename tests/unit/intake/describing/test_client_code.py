"""The client's code: current, and its rules for types and repeatable requests."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.intake.describing.client_code import TypedDicts, main, method_code


def test_the_client_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["client_code", "--check"])
    assert main() == 0


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        ({"type": "array", "items": {"type": "integer"}}, "list[int]"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "str | int"),
        ({"enum": ["a", "b"], "type": "string"}, "Literal['a', 'b']"),
        ({"type": "object", "patternProperties": {"^a": {"type": "boolean"}}}, "dict[str, bool]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({}, "Any"),
    ],
)
def test_annotations(schema: dict[str, Any], annotation: str) -> None:
    assert TypedDicts({}).of(schema) == annotation


def test_only_requests_take_datetimes() -> None:
    moment = {"type": "string", "format": "date-time"}
    assert TypedDicts({}).of(moment, is_sent=True) == "datetime | str"
    assert TypedDicts({}).of(moment) == "str"


@pytest.mark.parametrize(
    ("verb", "more", "is_repeatable"),
    [("get", {}, True), ("post", {}, False), ("post", {"x-repeatable": True}, True)],
)
def test_a_post_is_repeatable_only_if_it_says_so(
    verb: str, more: dict[str, Any], is_repeatable: bool
) -> None:
    answer = {"description": "yes", "content": {"application/json": {"schema": {"type": "boolean"}}}}
    operation = {"operationId": "ask", "description": "Ask.", "responses": {"200": answer}, **more}
    code = method_code(TypedDicts({}), "/v1/ask", verb, operation)
    assert ("repeatable=False" not in code) is is_repeatable
