"""What providers would refuse of a message: its request is built before it is planned.

Grain: campaign x material x language x channel. Reads documents only; the requests are those of the channels'
own adapters, with stand-ins for account and address. Surprise: words that come from a person's data are not
known yet, so a message is built for somebody of whom nothing is known and for somebody whose every field is
as long as it comes. Only what is refused for both is an error; the guard says which share of a night it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from angelia.catalog.documents import AnyDocument, Campaign, Channel, Material, Template
from angelia.catalog.problems import DocumentProblem, Key, Notice
from angelia.contracts.core import Column
from angelia.contracts.derived import USER_FEATURES
from angelia.delivery.channels import is_known, stand_in
from angelia.delivery.channels.base import Message, MessageRejected, StandIn
from angelia.errors import InvalidInput
from angelia.templates.rendering import (
    CompiledTemplate,
    Rendered,
    RowRejected,
    choose_locale,
    field_values,
    user_columns,
)
from angelia.transport.addresses import MAIL, PHONE
from angelia.users.addresses import form_of

_SHAPES = {"email": re.compile(MAIL), "sms": re.compile(PHONE), "webhook": re.compile("https://[^ ]+")}
LONG_TEXT = "語" * 64  # a long name, in letters of three bytes
_DISPATCH = "0" * 32


class ProviderLimits:
    """The providers of a catalog's channels that are switched on, without their accounts."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        self.channels = {channel.id: channel for channel in channels if channel.enabled}
        self._stand_ins: dict[str, StandIn | None] = {
            name: stand_in(channel.provider) for name, channel in self.channels.items()
        }
        self._compiled: dict[str, CompiledTemplate | None] = {}

    @classmethod
    def of_documents(cls, documents: Mapping[Key, AnyDocument]) -> ProviderLimits:
        """Return the limits of a catalog's channels."""
        return cls(document for document in documents.values() if isinstance(document, Channel))

    def compiled(self, template: Template) -> CompiledTemplate | None:
        """Return a template, compiled once; None if it does not compile, as its own check says."""
        if template.id not in self._compiled:
            try:
                self._compiled[template.id] = CompiledTemplate(template.model_dump(mode="json"))
            except InvalidInput:
                self._compiled[template.id] = None
        return self._compiled[template.id]

    def refusal(self, campaign: Campaign, channel: str, words: Rendered) -> MessageRejected | None:
        """Return why a channel's provider would refuse these words; None if it would not.

        None, too, where nobody knows.
        """
        adapter = self._stand_ins.get(channel)
        if adapter is None:
            return None
        message = Message(
            adapter.address,
            _DISPATCH,
            words.title,
            words.body,
            words.link,
            campaign.id,
            campaign.ttl_hours * 3600,
            campaign.priority == "high",
        )
        try:
            adapter.adapter.build_request(message)
        except MessageRejected as error:
            return error
        return None

    def refusals(self, campaign: Campaign, template: Template, words: Rendered) -> dict[str, str]:
        """Return why a campaign's channels would refuse these words, by channel.

        Empty if none would.
        """
        errors = {channel: self.refusal(campaign, channel, words) for channel in self.of(campaign, template)}
        return {channel: describe(channel, error) for channel, error in errors.items() if error}

    def of(self, campaign: Campaign, template: Template) -> list[str]:
        """Return the channels that are switched on and meant by both, in the campaign's order."""
        return [name for name in campaign.channels if name in template.channels and name in self.channels]

    def misnamed(self) -> Iterator[Notice]:
        """Yield the channels whose id stands for other rules of spelling than their addresses need."""
        for name, adapter in sorted(self._stand_ins.items()):
            if adapter is None:
                continue
            form = next((form for form, shape in _SHAPES.items() if shape.fullmatch(adapter.address)), None)
            if form is not None and form_of(name) != form:
                says = f"two spellings of one address count as two; call the channel {form}_{name}, then the "
                says += f"rules for {form} hold (docs/adr/0018)"
                yield Notice(("channel", name), DocumentProblem(("id",), says), only_news=True)

    def unknown(self) -> Iterator[Notice]:
        """Yield the channels whose provider is not installed, or says nothing of its limits."""
        for name, channel in sorted(self.channels.items()):
            if self._stand_ins[name] is not None:
                continue
            says = f"no provider is called {channel.provider!r} here, so nothing can be sent; "
            says += "install its package, or set enabled: false"
            if is_known(channel.provider):
                says = f"{channel.provider} offers no `stand_in`, so its limits show at sending only"
            yield Notice(("channel", name), DocumentProblem(("provider",), says), only_news=True)


@dataclass(frozen=True)
class ProviderRefusal:
    """One message that a provider would refuse, and whether it does so for everybody."""

    campaign: Campaign
    material: Material
    template: Template
    locale: str
    channel: str
    error: MessageRejected
    is_for_all: bool

    def notice(self) -> Notice:
        """Return what to tell the operator, at the document that holds most of the words."""
        variant = self.template.variants[self.locale]
        part = "title" if len(variant.title) > len(variant.body) else "body"
        key: Key = ("template", self.template.id)
        path: tuple[str, ...] = ("variants", self.locale, part)
        given = {name: len(str(value)) for name, value in self.material.fields.items()}
        if sum(given.values()) > len(variant.title) + len(variant.body):
            key, path = ("material", self.material.id), ("fields", max(given, key=given.__getitem__))
        who = "every message" if self.is_for_all else "messages to people with long fields"
        says = (
            f"{describe(self.channel, self.error)}: {who} of campaign {self.campaign.id} with material "
            f"{self.material.id} in {self.locale} would be rejected; {_fix(self.error)}"
        )
        about = (
            ("campaign", self.campaign.id),
            ("material", self.material.id),
            ("template", self.template.id),
            ("channel", self.channel),
        )
        return Notice(key, DocumentProblem(path, says), self.is_for_all, about)


def describe(channel: str, error: MessageRejected) -> str:
    """Return a refusal in words: channel, reason, and bytes against a limit of size."""
    if error.n_bytes is None:
        return f"{channel} takes no such message ({error.reason})"
    return f"{error.n_bytes:,} {error.unit}, {channel} takes {error.limit:,}"


def _fix(error: MessageRejected) -> str:
    return "reword it" if error.n_bytes is None else "shorten it"


def notices(documents: Mapping[Key, AnyDocument], today: date) -> Iterator[Notice]:
    """Yield what providers would refuse of the campaigns that are not over.

    Channels of which nothing is known are named, too.
    """
    limits = ProviderLimits.of_documents(documents)
    yield from limits.unknown()
    yield from limits.misnamed()
    for _, document in sorted(documents.items()):
        if isinstance(document, Campaign) and document.end_date >= today:
            for refusal in refusals(document, documents, limits):
                yield refusal.notice()


def refusals(
    campaign: Campaign, documents: Mapping[Key, AnyDocument], limits: ProviderLimits
) -> Iterator[ProviderRefusal]:
    """Yield a campaign's refusals: the largest of each material, language and channel."""
    for material, template in _contents(campaign, documents):
        channels = limits.of(campaign, template)
        for locale, words in _words(campaign, material, template, limits.compiled(template)):
            for channel in channels:
                errors = [limits.refusal(campaign, channel, one) for one in words]
                worst = max(
                    (error for error in errors if error),
                    key=lambda refusal: refusal.n_bytes or 0,
                    default=None,
                )
                if worst is not None:
                    yield ProviderRefusal(
                        campaign, material, template, locale, channel, worst, None not in errors
                    )


def refused_people(
    campaign: Campaign,
    documents: Mapping[Key, AnyDocument],
    limits: ProviderLimits,
    people: Sequence[Mapping[str, object]],
) -> dict[str, int]:
    """Count the people whose message a provider would refuse, by material, channel, reason."""
    counts: Counter[str] = Counter()
    for material, template in _contents(campaign, documents):
        body, fields = template.model_dump(mode="json"), material.model_dump(mode="json")
        compiled = limits.compiled(template)
        if compiled is None:
            continue
        for person in people:
            locale = person.get("locale")
            try:
                words = compiled.render(
                    locale if isinstance(locale, str) else None,
                    field_values(body, fields, campaign.id, person),
                )
            except RowRejected:
                continue
            for channel in limits.of(campaign, template):
                error = limits.refusal(campaign, channel, words)
                if error:
                    counts[f"{material.id}, {channel}: {error.reason}"] += 1
    return dict(counts)


def columns(campaign: Campaign, documents: Mapping[Key, AnyDocument]) -> list[str]:
    """Return the columns of `user_features` that a campaign's messages need."""
    names = {"locale"}
    for _, template in _contents(campaign, documents):
        names |= set(user_columns(template.model_dump(mode="json")))
    return sorted(names)


def _contents(
    campaign: Campaign, documents: Mapping[Key, AnyDocument]
) -> Iterator[tuple[Material, Template]]:
    for name in campaign.materials:
        material = documents.get(("material", name))
        template = documents.get(("template", material.template)) if isinstance(material, Material) else None
        if isinstance(material, Material) and isinstance(template, Template):
            yield material, template


def _words(
    campaign: Campaign, material: Material, template: Template, compiled: CompiledTemplate | None
) -> Iterator[tuple[str, list[Rendered]]]:
    """Yield a material's words by language.

    Once, or for the two people where they depend on the person.
    """
    if compiled is None:
        return
    body, fields = template.model_dump(mode="json"), material.model_dump(mode="json")
    people: list[Mapping[str, object]] = [{}]
    wanted = user_columns(body)
    if wanted:
        people = [
            {name: _least(column) for name, column in _COLUMNS.items() if name in wanted},
            {name: _most(column) for name, column in _COLUMNS.items() if name in wanted},
        ]
    spoken = material.locales or tuple(template.variants)
    for locale in sorted({choose_locale(tag, template.variants, template.default_locale) for tag in spoken}):
        words = []
        for person in people:
            try:
                words.append(compiled.render(locale, field_values(body, fields, campaign.id, person)))
            except RowRejected:  # said where templates are rendered
                continue
        if words:
            yield locale, words


_COLUMNS = {column.name: column for column in USER_FEATURES.columns}


def _least(column: Column) -> object:
    if column.nullable:
        return None
    return "" if pa.types.is_string(column.type) else 0


def _most(column: Column) -> object:
    if pa.types.is_string(column.type):
        return LONG_TEXT
    if pa.types.is_boolean(column.type):
        return True
    if column.maximum is not None:
        return column.maximum
    return 2**31 - 1 if pa.types.is_integer(column.type) else 1234567.89
