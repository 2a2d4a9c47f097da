"""Read a mapping file: each mistake is one line with its place and what was meant.

No message shows a raw value of the file's columns, which maps and constants may hold.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from angelia.errors import InvalidInput, without_addresses
from angelia.importing.kafka.source import KafkaSource, Source
from angelia.importing.mapping import (
    ColumnSpec,
    Filter,
    Input,
    Join,
    Mapping,
    Output,
    Split,
    Timestamp,
    nearest,
)
from angelia.plain_yaml import PlainLoader
from angelia.text_files import read_yaml


class _Strict(PlainLoader):
    """YAML that refuses a key given twice, of which the first would silently be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem="a key is given twice", problem_mark=key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def _explain(error: ValidationError) -> str:
    """Return the first problem of a document as one line: where it stands, what was meant."""
    first = error.errors()[0]
    # The names of the union's branches mean nothing to the author; keep keys and list positions that occur in
    # the document.
    steps = list(first["loc"])
    if "map" in steps:  # what follows are raw values of the file
        steps = steps[: steps.index("map") + 1]
    where = ".".join(
        str(part) for part in steps if not str(part).startswith(("function-", "dict[", "list[", "literal["))
    )
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        depth: dict[str, type[BaseModel]] = {
            "columns": ColumnSpec,
            "outputs": Output,
            "inputs": Input,
            "source": Source,
            "kafka": KafkaSource,
            "timestamp": Timestamp,
            "split": Split,
            "filter": Filter,
            "join": Join,
        }
        owner: type[BaseModel] = Mapping
        for part in first["loc"][:-1]:
            owner = depth.get(str(part), owner)
        known = [field.alias or name for name, field in owner.model_fields.items()]
        return f"{where}: unknown key; {nearest(key, known)}"
    return f"{where}: {message}" if where else message


def load_mapping(path: Path) -> Mapping:
    """Read and validate a mapping file.

    Raises:
        InvalidInput: unreadable, no YAML, or against the reference; the first problem, where it stands, and
            what was probably meant.
    """
    raw = read_yaml(path, _Strict, "the mapping")
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path.name} holds no mapping document", fix="see docs/IMPORT.md")
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(f"{path.name}: {without_addresses(_explain(error))}") from None
