"""Placeholders that people would read as they stand, and variables that no text shows.

Grain: document. Reads documents only; `sense` says it. Nothing is refused for it: a shop may sell `{curly}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from angelia.catalog.documents import Material, Template
from angelia.catalog.problems import Doubt

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
# {name}, ${name}, [[name]], %name%, *|NAME|*, <%= name %>: variables of other senders of messages
_FOREIGN = re.compile(
    r"\$?\{\s*(?P<a>[A-Za-z_][\w.]*)\s*\}|\[\[\s*(?P<b>\w+)\s*\]\]|%(?P<c>[A-Za-z][A-Za-z_]+)%"
    r"|\*\|(?P<d>\w+)\|\*|<%=?\s*(?P<e>[\w.]+)\s*%>"
)


def of_template(template: Template) -> Iterator[Doubt]:
    """Yield placeholders that are none here, and variables that stand in no text."""
    texts: dict[tuple[str, ...], str] = {
        ("variants", locale, part): getattr(variant, part)
        for locale, variant in sorted(template.variants.items())
        for part in ("title", "body")
    }
    texts |= {("link",): template.link} if template.link else {}
    for path, text in texts.items():
        yield from _foreign(path, _LIQUID.sub("", text))
    liquid = " ".join(part for text in texts.values() for part in _LIQUID.findall(text))
    for name in template.variables:
        if not re.search(rf"\b{re.escape(name)}\b", liquid):
            says = f"no text shows it; write {{{{ {name} }}}} where it belongs, or leave it out"
            yield Doubt(("variables", name), says)


def of_material(material: Material) -> Iterator[Doubt]:
    """Yield the fields whose text holds a placeholder: fields are shown as they stand."""
    for name, value in sorted(material.fields.items()):
        if not isinstance(value, str):
            continue
        if liquid := _LIQUID.search(value):
            says = f"{liquid[0]} is shown as it stands: variables belong in the template's texts"
            yield Doubt(("fields", name), says)
        else:
            yield from _foreign(("fields", name), value)


def _foreign(path: tuple[str, ...], text: str) -> Iterator[Doubt]:
    if placeholder := _FOREIGN.search(text):
        name = next(name for name in placeholder.groups() if name)
        where = "a variable is written" if path[0] != "fields" else "in the template's texts a variable is"
        says = f"{placeholder[0]} is shown as it stands; {where} {{{{ {name.lower()} }}}}"
        yield Doubt(path, says)
