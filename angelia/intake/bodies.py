"""Bodies that routes read themselves: limited in size, described in the OpenAPI document."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel
from starlette.requests import Request

from angelia.intake.errors import refused

# Of a POST that a client may send twice, though it has no idempotency key; the generated client reads this.
REPEATABLE: dict[str, Any] = {"x-repeatable": True}


async def read_body(request: Request, limit: int) -> bytes:
    """Return a body of at most so many bytes."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise refused("too_large", f"a body has at most {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI entry of a body that a route reads itself."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, definitions)}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema whose references to its own definitions are replaced by them."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    # JsonValue refers to nothing further, Message once: there is no circle to follow.
    target = cast("dict[str, Any]", definitions[name]) if name in definitions else schema
    return {key: _inlined(value, definitions) for key, value in target.items()}
