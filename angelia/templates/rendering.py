"""Rendering: a template document, a locale and field values in; title, body and link out.

Works on the plain bodies of `catalog_snapshot` (dicts), so delivery needs no catalog database. A template is
compiled once per (id, version); locales fall back `de-AT -> de -> default_locale`. A message that cannot be
rendered raises `RowRejected` with a reason for counting: `undefined_variable:NAME`, `template_error`,
`template_loop_limit`, `template_output_limit`, `half_a_character`, `control_character:title|body|link`,
`empty:title|body`, `invalid_link`, `unknown_template`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.templates.liquid_sandbox import CompiledText, Fields, RowRejected

BUILTINS = ("campaign_id", "material_id", "category")
"""Variables every template has without declaring them; a material without category has the empty text."""

# C0, C1, line and paragraph separators, lone surrogates (no UTF-8). A body may hold line breaks and tabs.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORBIDDEN_IN_BODY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# A web address needs a host, and none in front of an @, which would not be the one it seems to be. Other
# schemes open apps.
_HOST = r"(?:\[[0-9a-f:.]+\]|[^\W_][\w.-]*)(?::[0-9]{1,5})?"
_REST = r"[^\s\"<>\\^`{|}]"
_LINK = re.compile(
    rf"https?://{_HOST}(?:[/?#]{_REST}*)?|(?!(?:https?|javascript|data|vbscript|file|about|blob):)[a-z][a-z0-9+.-]*://{_REST}+",
    re.IGNORECASE,
)
_LOCALES_REMEMBERED = 1_000


class Rendered(NamedTuple):
    """The words of one message; `link` is None where the template has none."""

    title: str
    body: str
    link: str | None


class CompiledTemplate:
    """One version of one template, parsed once. Safe to share between threads."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Compile every variant.

        Args:
            document: body of a template in the snapshot: id, variants, variables, default_locale, link.

        Raises:
            InvalidInput: a text is not Liquid; the message names template, variant and part.
        """
        self.id = str(document["id"])
        self.default_locale = str(document["default_locale"])
        declared = {name: variable.get("default") for name, variable in document.get("variables", {}).items()}
        self.defaults = {
            "category": "",
            **{name: value for name, value in declared.items() if value is not None},
        }
        self.variants = {
            locale: (
                self._compile(variant["title"], f"variants.{locale}.title"),
                self._compile(variant["body"], f"variants.{locale}.body"),
            )
            for locale, variant in document["variants"].items()
        }
        self.link = self._compile(document["link"], "link") if document.get("link") else None
        self._by_locale: dict[str | None, tuple[CompiledText, CompiledText]] = {}

    def _compile(self, source: str, where: str) -> CompiledText:
        try:
            return CompiledText(source)
        except InvalidInput as error:
            raise InvalidInput(f"template/{self.id}: {where}: {error.message}", fix=error.fix) from None

    def variant(self, locale: str | None) -> tuple[CompiledText, CompiledText]:
        """Return title and body for a locale: itself, its language, or the default."""
        parts = self._by_locale.get(locale)
        if parts is None:
            parts = self.variants[choose_locale(locale, self.variants, self.default_locale)]
            if len(self._by_locale) < _LOCALES_REMEMBERED:
                self._by_locale[locale] = parts
        return parts

    def render(self, locale: str | None, fields: Fields) -> Rendered:
        """Return the message's words; absent and null fields take the declared default.

        Raises:
            RowRejected: with the reason to count it under.
        """
        title_text, body_text = self.variant(locale)
        if None in fields.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        values = {**self.defaults, **fields}
        title, body = title_text.render(values), body_text.render(values)
        if _FORBIDDEN.search(title):
            raise RowRejected("control_character:title")
        if _FORBIDDEN_IN_BODY.search(body):
            raise RowRejected("control_character:body")
        if not title.strip():
            raise RowRejected("empty:title")
        if not body.strip():
            raise RowRejected("empty:body")
        if self.link is None:
            return Rendered(title, body, None)
        link = self.link.render(values)
        if _FORBIDDEN.search(link):
            raise RowRejected("control_character:link")
        if not _LINK.fullmatch(link):
            raise RowRejected("invalid_link")
        return Rendered(title, body, link)


class TemplateSet:
    """The templates of one snapshot, by (id, version), compiled when first used."""

    def __init__(self, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Keep (version, body) pairs."""
        self._documents = {(str(body["id"]), version): body for version, body in documents}
        self._compiled: dict[tuple[str, int], CompiledTemplate] = {}
        self._digests: dict[tuple[str, int], bytes] = {}

    @classmethod
    def read(cls, lake: Lake, snapshot: Commit) -> TemplateSet:
        """Return the templates of a commit of `catalog_snapshot` (the one the manifest cites)."""
        rows = lake.read(snapshot, columns=["kind", "version", "body"]).to_pylist()
        return cls((row["version"], json.loads(row["body"])) for row in rows if row["kind"] == "template")

    def template(self, template_id: str, version: int) -> CompiledTemplate:
        """Return a compiled template.

        Raises:
            RowRejected: unknown_template, or template_error if it does not compile.
        """
        key = (template_id, version)
        if key not in self._compiled:
            if key not in self._documents:
                raise RowRejected("unknown_template")
            try:
                self._compiled[key] = CompiledTemplate(self._documents[key])
            except (InvalidInput, KeyError, TypeError, AttributeError):
                raise RowRejected("template_error") from None
        return self._compiled[key]

    def digest(self, template_id: str, version: int) -> bytes:
        """Return the sha256 of a template's document; empty if there is none."""
        key = (template_id, version)
        if key not in self._digests:
            document = self._documents.get(key)
            text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
            self._digests[key] = hashlib.sha256(text.encode()).digest() if document is not None else b""
        return self._digests[key]

    def render(self, template_id: str, version: int, locale: str | None, fields: Fields) -> Rendered:
        """Return the words of one manifest row.

        Raises:
            RowRejected: with the reason to count it under.
        """
        return self.template(template_id, version).render(locale, fields)


def render(document: Mapping[str, Any], locale: str | None, fields: Fields) -> Rendered:
    """Compile and render one template once.

    For many messages keep a `CompiledTemplate` or a `TemplateSet`.

    Raises:
        InvalidInput: the template does not compile.
        RowRejected: this message cannot be rendered.
    """
    return CompiledTemplate(document).render(locale, fields)


def choose_locale(locale: str | None, available: Iterable[str], default: str) -> str:
    """Return the variant's locale for a person's: `de-AT -> de -> default`."""
    names = set(available)
    while locale:
        if locale in names:
            return locale
        locale = locale.rpartition("-")[0]
    return default


def field_values(
    template: Mapping[str, Any], material: Mapping[str, Any], campaign_id: str, user: Mapping[str, object]
) -> dict[str, str | int | float]:
    """Return the values a manifest row carries for one person.

    A value is the material's field, else the person's column, else the default. A variable that has none of
    the three is left out: rendering rejects the row under `undefined_variable:NAME`.

    Args:
        template: body of the template.
        material: body of the material.
        user: the person's row of `user_features`.
    """
    values: dict[str, str | int | float] = {
        "campaign_id": campaign_id,
        "material_id": str(material["id"]),
        "category": str(material.get("category") or ""),
    }
    given = material.get("fields", {})
    for name, variable in template.get("variables", {}).items():
        value = given.get(name)
        if value is None and variable.get("source"):
            value = user.get(str(variable["source"]).removeprefix("user."))
        if value is None:
            value = variable.get("default")
        if isinstance(value, str | int | float):
            values[name] = value
    return values


def user_columns(template: Mapping[str, Any]) -> list[str]:
    """Return the `user_features` columns a template's variables come from, sorted."""
    sources = {variable.get("source") for variable in template.get("variables", {}).values()}
    return sorted(source.removeprefix("user.") for source in sources if source)


def names_used(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return variable name -> the parts of a template that use it.

    Parts are written `variants.de.title` or `link`.

    Raises:
        InvalidInput: the template does not compile.
    """
    compiled = CompiledTemplate(document)
    parts_of: dict[str, set[str]] = {}
    parts = [
        (f"variants.{locale}.{part}", text)
        for locale, pair in compiled.variants.items()
        for part, text in zip(("title", "body"), pair, strict=True)
    ]
    if compiled.link:
        parts.append(("link", compiled.link))
    for where, text in parts:
        for name in text.names:
            parts_of.setdefault(name, set()).add(where)
    return parts_of


__all__ = [
    "BUILTINS",
    "CompiledTemplate",
    "Rendered",
    "RowRejected",
    "TemplateSet",
    "choose_locale",
    "field_values",
    "names_used",
    "render",
    "user_columns",
]
