"""A row's texts: its template, at the plan's version, rendered once per distinct input.

Reads nothing itself; `TemplateSet` holds the night's snapshot. Many rows share all template variables, so a
small cache spares their renderings.
"""

from __future__ import annotations

import json

from angelia.delivery.channels.base import MessageRejected
from angelia.templates.liquid_sandbox import RowRejected
from angelia.templates.rendering import TemplateSet

_CACHE = 8_192
Words = tuple[str, str, str | None]


class Renderer:
    """Templates of one night; `fields` is the manifest's JSON text."""

    def __init__(self, templates: TemplateSet) -> None:
        self._templates = templates
        self._done: dict[tuple[str, int, str, str | None], Words | str] = {}

    def __call__(self, template_id: str, version: int, fields: str, locale: str | None) -> Words:
        """Return title, body and link.

        Raises:
            MessageRejected: the fields or the template do not make a text.
        """
        key = (template_id, version, fields, locale)
        known = self._done.get(key)
        if known is None:
            if len(self._done) >= _CACHE:
                self._done.clear()
            known = self._done[key] = self._render(*key)
        if isinstance(known, str):
            raise MessageRejected(known)
        return known

    def digest(self, template_id: str, version: int) -> bytes:
        """Return a hash of a template's text (32 bytes; empty if there is no such template)."""
        return self._templates.digest(template_id, version)

    def _render(self, template_id: str, version: int, fields: str, locale: str | None) -> Words | str:
        try:
            values = json.loads(fields)
        except ValueError:
            return "fields_unreadable"
        if not isinstance(values, dict):
            return "fields_unreadable"
        try:
            rendered = self._templates.render(template_id, version, locale, values)
        except RowRejected as error:
            return error.reason
        return rendered.title, rendered.body, rendered.link
