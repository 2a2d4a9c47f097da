"""The members of a directory's group, with those of the groups inside it.

Grain: person. Reads a mapping file, and entries of a server or a file; writes nothing. Surprises: names (DNs)
are equal whatever their case and blanks; who has no value of the id's attribute is counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from angelia.errors import InvalidInput, NotFound
from angelia.plain_yaml import PlainLoader
from angelia.text_files import read_yaml

Attributes = Mapping[str, list[str]]  # by the attribute's name in small letters
_ATTRIBUTE = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"


class DirectoryMapping(BaseModel):
    """Which group becomes a list, and where a person's id stands (docs/AUDIENCES.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str = Field(min_length=3, max_length=1_000)
    user_id: str = Field(pattern=_ATTRIBUTE)
    template: str = Field("{value}", max_length=100)
    member: str = Field("member", pattern=_ATTRIBUTE)
    member_is: Literal["name", "id"] = "name"
    nested: bool = True
    server: str | None = Field(None, pattern=r"^ldaps?://[^/?#@\s]+$")
    base: str | None = Field(None, min_length=3, max_length=1_000)
    bind: str | None = Field(None, min_length=1, max_length=1_000)
    start_tls: bool = False
    plain_password: bool = False
    ca_file: Path | None = None
    page: int = Field(500, ge=1, le=10_000)

    @field_validator("template")
    @classmethod
    def _has_value(cls, text: str) -> str:
        if text.count("{value}") != 1 or re.search(r"[{}]", text.replace("{value}", "")):
            raise ValueError("it holds {value} once, and no other bracket")
        return text

    @model_validator(mode="after")
    def _has_a_base(self) -> DirectoryMapping:
        if self.server is not None and self.base is None:
            raise ValueError("a server needs a base, below which people and groups are looked for")
        return self


@dataclass(frozen=True)
class Members:
    """Whom a group has, and what of it could not be followed."""

    ids: list[str]
    n_groups: int  # the group and those in it
    without_id: int
    unknown: int  # names that the directory, or the file, has no entry for


def load_directory(path: Path) -> DirectoryMapping:
    """Return the mapping in a file.

    Raises:
        InvalidInput: it is unreadable, or not as documented; the first problem and its place.
    """
    document = read_yaml(path, PlainLoader, "the mapping")
    if not isinstance(document, dict):
        raise InvalidInput(f"{path.name} is not a map of names", fix="docs/AUDIENCES.md shows a mapping")
    try:
        return DirectoryMapping.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidInput(
            f"{path.name}: {f'{place}: ' if place else ''}{problem}", fix="docs/AUDIENCES.md shows a mapping"
        ) from None


def name_key(name: str) -> str:
    """Return a form of a DN that is equal for two spellings of it.

    Case is no matter, nor are blanks around a comma and an equals sign.
    """
    parts = re.split(r"(?<!\\)[,;]", name)
    return ",".join(re.sub(r"\s*=\s*", "=", part.strip(), count=1) for part in parts).casefold()


def members_of(entries: Iterable[tuple[str, Attributes]], mapping: DirectoryMapping) -> Members:
    """Return whom the mapping's group has.

    Raises:
        NotFound: the group has no entry.
    """
    known = {name_key(name): attributes for name, attributes in entries}
    member, of_id = mapping.member.lower(), mapping.user_id.lower()
    start = name_key(mapping.group)
    if start not in known:
        raise NotFound(
            "the directory has no entry for the mapping's group",
            fix="compare `group` with its DN, and let `base` or the file hold it",
        )
    ids: dict[str, None] = {}
    seen, waiting = {start}, [start]
    n_groups = without_id = unknown = 0
    while waiting:
        n_groups += 1
        for value in known[waiting.pop()].get(member, ()):
            if mapping.member_is == "id":
                ids[mapping.template.replace("{value}", value)] = None
                continue
            key = name_key(value)
            # Groups may be in each other, and a person in several.
            if key in seen:
                continue
            seen.add(key)
            entry = known.get(key)
            if entry is None:
                unknown += 1
            elif member in entry:
                waiting += [key] if mapping.nested else []
            elif of_person := entry.get(of_id):
                ids[mapping.template.replace("{value}", of_person[0])] = None
            else:
                without_id += 1
    return Members(list(ids), n_groups, without_id, unknown)
