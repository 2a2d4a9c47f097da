"""Entries of an LDIF file, as `ldapsearch` writes them.

Source: RFC 2849. Lines that begin with a blank go on, `::` is base64, `#` a comment. Surprise: values that
lie at an address (`:<`) are refused: nothing is fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from angelia.audience.directory.groups import Attributes
from angelia.errors import InvalidInput
from angelia.text_files import require_utf8

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*)(?:;[A-Za-z0-9;=*-]*)?:([:<]?)[ ]*(.*)", re.DOTALL)


def read_ldif(path: Path) -> list[tuple[str, Attributes]]:
    """Return the entries of a file: DN, and values by attribute.

    Raises:
        InvalidInput: it cannot be read, or a line is none of LDIF; the line is named.
    """
    if not path.is_file():
        raise InvalidInput(f"no file {path.name}", fix="write it by `ldapsearch -LLL … > FILE`")
    require_utf8(path)
    with path.open(encoding="utf-8-sig") as file:
        return list(_entries(path.name, file))


def _entries(name: str, lines: Iterable[str]) -> Iterator[tuple[str, Attributes]]:
    dn: str | None = None
    values: dict[str, list[str]] = {}
    for number, line in _unfolded(lines):
        if not line:
            if dn is not None:
                yield dn, values
            dn, values = None, {}
            continue
        attribute, value = _pair(name, number, line)
        if attribute == "dn":
            dn = value
        else:
            values.setdefault(attribute, []).append(value)
    if dn is not None:
        yield dn, values


def _unfolded(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield each logical line with its number; comments are left out."""
    first, whole = 0, ""
    for number, raw in enumerate([*lines, ""], 1):
        line = raw.rstrip("\r\n")
        if line.startswith(" ") and whole:
            whole += line[1:]
            continue
        if whole and not whole.startswith("#"):
            yield first, whole
        if not line:
            yield number, ""
        first, whole = number, line


def _pair(name: str, number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InvalidInput(
            f"{name} line {number} is not a line of LDIF", fix="write the file by `ldapsearch -LLL`"
        )
    if match[2] == "<":
        raise InvalidInput(f"{name} line {number}: values at an address are not read", fix="write it out")
    value = match[3]
    if match[2] == ":":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise InvalidInput(f"{name} line {number}: not base64") from None
    return match[1].lower(), value
