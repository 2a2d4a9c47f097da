"""Check that documents fit each other: references, predicates, variables, rendered samples.

`documents` states what a single document must be; this module looks at the whole catalog as it would be after
an `apply`. It reads and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from angelia.catalog.documents import (
    AnyDocument,
    Audience,
    Campaign,
    Experiment,
    Material,
    Template,
    canonical,
)
from angelia.catalog.problems import DocumentProblem, Key, nearest
from angelia.config import load_settings
from angelia.contracts.derived import USER_FEATURES
from angelia.errors import InvalidInput
from angelia.templates.rendering import (
    BUILTINS,
    CompiledTemplate,
    RowRejected,
    choose_locale,
    field_values,
    names_used,
)

Found = Iterator[tuple[Key, DocumentProblem]]


class Whole:
    """All documents of a catalog, looked at together."""

    def __init__(self, documents: Iterable[AnyDocument]) -> None:
        self.by_key: dict[Key, AnyDocument] = {
            (document.kind, document.id): document for document in documents
        }
        self.bodies: dict[Key, dict[str, Any]] = {
            key: json.loads(canonical(document)) for key, document in self.by_key.items()
        }
        self._compiled: dict[str, CompiledTemplate | None] = {}
        self.audiences = {
            name: document.predicate
            for (_, name), document in self.by_key.items()
            if isinstance(document, Audience)
        }

    def problems(self) -> list[tuple[Key, DocumentProblem]]:
        """Return everything that does not fit, by document."""
        by_document: list[tuple[Key, DocumentProblem]] = []
        if ("policy", "default") not in self.by_key:
            by_document.append(
                (
                    ("policy", "default"),
                    DocumentProblem((), "there is no policy; exactly one document of kind policy is needed"),
                )
            )
        checks = {
            Campaign: self._campaign,
            Material: self._material,
            Template: self._template,
            Audience: self._audience,
            Experiment: self._experiment,
        }
        for key, document in sorted(self.by_key.items()):
            check = checks.get(type(document))
            if check is not None:
                by_document += [(key, problem) for problem in check(document)]  # type: ignore[operator]
        return by_document

    def _refer(self, kind: str, name: str, *path: str | int) -> Iterator[DocumentProblem]:
        if (kind, name) not in self.by_key:
            there = sorted(other for its_kind, other in self.by_key if its_kind == kind)
            near = nearest(name, there)
            yield DocumentProblem(path, f"no {kind} {name!r}" + (near if len(near) < 200 else ""))

    def _campaign(self, campaign: Campaign) -> Iterator[DocumentProblem]:
        yield from self._refer("audience", campaign.audience, "audience")
        for i, channel in enumerate(campaign.channels):
            yield from self._refer("channel", channel, "channels", i)
        for i, name in enumerate(campaign.materials):
            yield from self._refer("material", name, "materials", i)
            material = self.by_key.get(("material", name))
            template = (
                self.by_key.get(("template", material.template)) if isinstance(material, Material) else None
            )
            if isinstance(template, Template) and not set(template.channels) & set(campaign.channels):
                channels = ", ".join(template.channels)
                yield DocumentProblem(
                    ("materials", i),
                    (
                        f"{name}'s template {template.id} is for {channels}, the campaign for "
                        f"{', '.join(campaign.channels)}"
                    ),
                )
        if campaign.trigger is not None and campaign.trigger.where is not None:
            yield from self._predicate(campaign.trigger.where, "trigger", "where")
        if campaign.experiment is None:
            return
        yield from self._refer("experiment", campaign.experiment, "experiment")
        experiment = self.by_key.get(("experiment", campaign.experiment))
        if isinstance(experiment, Experiment):
            for arm in experiment.arms:
                # An arm narrows the campaign's materials: a material that it adds would go out unnoticed.
                for name in sorted(set(arm.materials or ()) - set(campaign.materials)):
                    yield DocumentProblem(
                        ("experiment",),
                        (
                            f"arm {arm.name} of {experiment.id} names {name}, which is not among the "
                            f"campaign's materials"
                        ),
                    )

    def _experiment(self, experiment: Experiment) -> Iterator[DocumentProblem]:
        for i, arm in enumerate(experiment.arms):
            for j, name in enumerate(arm.materials or ()):
                yield from self._refer("material", name, "arms", i, "materials", j)

    def _audience(self, audience: Audience) -> Iterator[DocumentProblem]:
        yield from self._predicate(audience.predicate, "predicate")

    def _predicate(self, text: str, *path: str) -> Iterator[DocumentProblem]:
        from angelia.audience.language.predicate import (
            check,
        )  # sqlglot takes a while to load: only where predicates are checked

        try:
            # What asks for more days than the index has would stop the night.
            check(text, audiences=self.audiences, history_days=load_settings().history_days)
        except InvalidInput as error:
            yield DocumentProblem(path, error.one_line())

    def _template(self, template: Template) -> Iterator[DocumentProblem]:
        columns = _sources()
        for name, variable in template.variables.items():
            if name in BUILTINS:
                yield DocumentProblem(("variables", name), "is always there and cannot be declared")
            if variable.source is None:
                continue
            column = variable.source.removeprefix("user.")
            if column not in columns:
                yield DocumentProblem(
                    ("variables", name, "source"),
                    f"user_features has no column {column!r} for this{nearest(column, columns)}",
                )
            elif columns[column] and variable.default is None:
                yield DocumentProblem(
                    ("variables", name), f"needs a default: {variable.source} is unknown for some people"
                )
        try:
            used = names_used(self.bodies["template", template.id])
        except InvalidInput as error:
            yield _liquid_problem(template, error)
            return
        for name, parts in sorted(used.items()):
            if name not in template.variables and name not in BUILTINS:
                known = [*template.variables, *BUILTINS]
                for part in sorted(parts):
                    yield DocumentProblem(
                        tuple(part.split(".")), f"variable {name!r} is not declared{nearest(name, known)}"
                    )

    def _material(self, material: Material) -> Iterator[DocumentProblem]:
        if material.audience is not None:
            yield from self._refer("audience", material.audience, "audience")
        yield from self._refer("template", material.template, "template")
        template = self.by_key.get(("template", material.template))
        # That it is missing has been said above; nothing more can be known about the fields.
        if not isinstance(template, Template):
            return
        for name in sorted(set(material.fields) - set(template.variables)):
            yield DocumentProblem(
                ("fields", name),
                f"template {template.id} declares no such variable{nearest(name, template.variables)}",
            )
        for i, locale in enumerate(material.locales or ()):
            if choose_locale(locale, template.variants, "") == "":
                yield DocumentProblem(
                    ("locales", i),
                    (
                        f"template {template.id} has no variant for {locale} (there are "
                        f"{', '.join(template.variants)})"
                    ),
                )
        missing = [
            name
            for name, variable in sorted(template.variables.items())
            if name not in material.fields and variable.default is None and variable.source is None
        ]
        if missing:
            yield DocumentProblem(
                ("fields",),
                (
                    f"template {template.id} needs {', '.join(missing)}: no field here, no default "
                    f"and no source there"
                ),
            )
        else:
            yield from self._sample(material, template)

    def _sample(self, material: Material, template: Template) -> Iterator[DocumentProblem]:
        """Render every variant as for a person about whom nothing is known."""
        body = self.bodies["template", template.id]
        if (
            template.id not in self._compiled
        ):  # a template with problems of its own is not tried: they are said there
            self._compiled[template.id] = (
                None if any(True for _ in self._template(template)) else CompiledTemplate(body)
            )
        compiled = self._compiled[template.id]
        if compiled is None:
            return
        person = {column: "" if is_text else 0 for column, is_text in _sample_person().items()}
        values = field_values(body, self.bodies["material", material.id], "campaign", person)
        for locale in template.variants:
            try:
                compiled.render(locale, values)
            except RowRejected as error:
                yield DocumentProblem(
                    ("template",), f"cannot be rendered with {template.id} in {locale}: {error.reason}"
                )


def _liquid_problem(template: Template, error: InvalidInput) -> DocumentProblem:
    where, _, message = error.message.removeprefix(f"template/{template.id}: ").partition(": ")
    return DocumentProblem(tuple(where.split(".")), f"{message}; {error.fix}" if error.fix else message)


def _sources() -> Mapping[str, bool]:
    """Return the columns a variable may come from, and whether they may be unknown."""
    return {
        column.name: column.nullable
        for column in USER_FEATURES.columns
        if not column.personal
        and not pa.types.is_nested(column.type)
        and column.name not in USER_FEATURES.key
    }


def _sample_person() -> Mapping[str, bool]:
    return {
        column.name: pa.types.is_string(column.type)
        for column in USER_FEATURES.columns
        if column.name in _sources() and not column.nullable
    }
