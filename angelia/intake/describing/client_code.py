"""Write the Python client from the intake's OpenAPI document, or check that it is current.

Usage: `python -m angelia.intake.describing.client_code [--check]`; ruff lays the text out. Surprise: bodies
become TypedDicts by the functional form, since a field is called `class`, and since their names are the
document's, which the intake's own classes have.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from angelia.intake.api import create_app
from angelia.intake.codes import Codes, Secret
from angelia.intake.database import connect
from angelia.lake import Lake
from angelia.lake.store import LocalStore

ROOM = Path(__file__).resolve().parents[2] / "client"
_FRAMEWORKS = "Validation Error"  # what FastAPI says of parameters where a route names no code of its own
_METHODS = ("get", "put", "post", "delete")
_KEY = "idempotency_key"
_BODIES = '''"""What requests and answers of the intake hold, from its OpenAPI document.

Written by `make docs`. Surprise: times in answers are texts, as the intake wrote them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict
'''
_HEAD = '''"""Requests of the intake as typed methods, from its OpenAPI document.

Written by `make docs`. Reads and writes the intake's REST interface.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast

from angelia.client.bodies import {names}
from angelia.client.calls import Calls, in_path, keyed, keyed_each
'''
_CLASS = '''
class IntakeClient(Calls):
    """An intake, as one client with one key sees it.

    `with IntakeClient(address, key) as intake:` closes its connections at the end. Every method may raise
    `IntakeRefused`, with the codes that it names, and `IntakeUnreachable`.
    """
'''


def openapi() -> dict[str, Any]:
    """Return the document of an intake that has all its routes."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/intake.db")
        try:
            lake = Lake(LocalStore(Path(folder)))
            return create_app(engine, codes=Codes(engine, Secret(b"-" * 32)), lake=lake).document
        finally:
            engine.dispose()


def client_code(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the client's generated modules by name, laid out."""
    types = TypedDicts(document["components"]["schemas"])
    methods = [
        method_code(types, path, verb, operation)
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
        if verb in _METHODS
    ]
    client = "\n".join([_CLASS, *methods])
    used = (name for name in types.code if re.search(rf"\b{name}\b", client))
    names = sorted(used, key=str.lower)  # as ruff sorts them
    return {
        "bodies.py": _laid_out("\n".join([_BODIES, *types.code.values()])),
        "intake_client.py": _laid_out(_HEAD.format(names=f"({', '.join(names)})") + client),
    }


def _laid_out(code: str) -> str:
    words = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(ROOM / "client.py"), "-"]
    return subprocess.run(words, input=code, text=True, capture_output=True, check=True).stdout


class TypedDicts:
    """The types of the document's schemas; each stands after those it names."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self.code: dict[str, str] = {}

    def of(self, schema: Mapping[str, Any], *, is_sent: bool = False) -> str:
        """Return the annotation of a schema.

        Args:
            is_sent: it is a request's, where a time may be a datetime.
        """
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.of(self._schemas[name], is_sent=is_sent)
        either = schema.get("anyOf") or schema.get("oneOf")
        if either and "type" not in schema:
            return " | ".join(dict.fromkeys(self.of(each, is_sent=is_sent) for each in either))
        if "enum" in schema:
            return f"Literal[{', '.join(map(repr, schema['enum']))}]"
        kind = schema.get("type")
        if kind == "array":
            return f"list[{self.of(schema['items'], is_sent=is_sent)}]"
        if kind == "object" and "properties" in schema:
            return self._named(schema, is_sent=is_sent)
        if kind == "object":
            values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            return f"dict[str, {self.of(values[0], is_sent=is_sent) if values[0] else 'Any'}]"
        if kind == "string" and schema.get("format") == "date-time" and is_sent:
            return "datetime | str"
        plain = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
        return plain.get(str(kind), "Any")

    def _named(self, schema: Mapping[str, Any], *, is_sent: bool) -> str:
        name = str(schema["title"])
        if name not in self.code:
            fields = []
            for field, its in schema["properties"].items():
                kind = self.of(its, is_sent=is_sent)
                kind = kind if field in schema.get("required", ()) else f"NotRequired[{kind}]"
                fields.append(f'"{field}": "{kind}",' if "Literal" not in kind else f'"{field}": {kind},')
            says = schema.get("description", "").replace("\n", " ")
            self.code[name] = f"# {says}\n{name} = TypedDict({name!r}, {{\n" + "\n".join(fields) + "\n})"
        return name


def method_code(types: TypedDicts, path: str, verb: str, operation: Mapping[str, Any]) -> str:
    """Return the method of one operation."""
    parameters = operation.get("parameters", ())
    places = [each["name"] for each in parameters if each["in"] == "path"]
    queries = [each for each in parameters if each["in"] == "query"]
    arguments, given = [f"{name}: str" for name in places], ""
    its, sends_key = _body(operation), False
    if its is not None:
        fields = its["properties"]
        # A body of one list or map is asked for by that; the method wraps it.
        (only, inner), *others = fields.items()
        if only == "messages":
            arguments.append(f"messages: list[{types.of(inner['items'], is_sent=True)}]")
            given, sends_key = 'body={"messages": keyed_each(messages)}', True
        elif not others:
            arguments.append(f"{only}: {types.of(inner, is_sent=True)}")
            given = f'body={{"{only}": {only}}}'
        else:
            sends_key = _KEY in fields
            name = "message" if sends_key else "body"
            arguments.append(f"{name}: {types.of(its, is_sent=True)}")
            given = f"body={'keyed(message)' if sends_key else name}"
    asked = {each["name"]: _argument(each["name"]) for each in queries}
    if queries:
        arguments += [
            "*",
            *(f"{asked[each['name']]}: {types.of(each['schema'], is_sent=True)}"
              f"{'' if 'None' in types.of(each['schema']) else ' | None'} = None" for each in queries),
        ]  # fmt: skip
        given = "query={" + ", ".join(f'"{name}": {argument}' for name, argument in asked.items()) + "}"
    answer = next(its for status, its in operation["responses"].items() if status.startswith("2"))
    returned = types.of(answer["content"]["application/json"]["schema"])
    repeatable = verb != "post" or sends_key or operation.get("x-repeatable", False)
    where = re.sub(r"\{(\w+)\}", r"{in_path(\1)}", path)
    call = ", ".join(
        part
        for part in (f'"{verb.upper()}"', f'{"f" if places else ""}"{where}"', given,
                     "" if repeatable else "repeatable=False")
        if part
    )  # fmt: skip
    return (
        f"    def {operation['operationId']}(self, {', '.join(arguments)}) -> {returned}:\n"
        f'        """{_docstring(operation)}"""\n'
        f'        return cast("{returned}", self._call({call}))\n'
    )


def _body(operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if "requestBody" not in operation:
        return None
    schema: Mapping[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def _argument(name: str) -> str:
    """Return a parameter's name as Python allows it."""
    return {"from": "accepted_from", "to": "accepted_to"}.get(name, name)


def _docstring(operation: Mapping[str, Any]) -> str:
    codes = sorted(
        {
            code
            for status, its in operation["responses"].items()
            if status.startswith(("4", "5"))
            for code in its["description"].split(", ")
            if code != _FRAMEWORKS
        }
    )
    lines: list[str] = []
    line = "Codes:"
    for code in codes:
        if len(line) + len(code) > 96:
            lines, line = [*lines, line], ""
        line = f"{line} {code}".strip()
    rest = "\n        ".join([*lines, line])
    return f"{operation['description'].strip()}\n\n        {rest}\n        "


def main() -> int:
    """Rewrite the modules, or with --check say whether they are out of date."""
    for name, fresh in client_code(openapi()).items():
        module = ROOM / name
        if "--check" not in sys.argv[1:]:
            module.write_text(fresh, "utf-8")
        elif not module.exists() or module.read_text("utf-8") != fresh:
            sys.stderr.write(f"error: angelia/client/{name} is out of date; run `make docs`\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
