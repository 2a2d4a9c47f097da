"""A campaign's messages as a phone shows them, with what each takes of its channel's limit.

Reads the catalog. Grain: material x language. Sizes are the channel adapter's own count: it is asked to
build the message with a body too long for any provider, and says by how much. Surprise: mail is folded into
lines, so its size is right to a few bytes; an SMS has no limit of its own but costs by the segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from angelia.catalog.documents import AnyDocument, Campaign, Material, Template
from angelia.catalog.preview import preview_material
from angelia.catalog.problems import Key
from angelia.planning.limits import ProviderLimits
from angelia.templates.rendering import Rendered
from angelia.users.addresses import form_of

_PAD = "x" * 300_000  # more than any channel takes
# The basic characters of GSM 03.38, and those of its extension, which take two places.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")


@dataclass(frozen=True)
class Weight:
    """What a message takes on one channel: `n_bytes` of `limit`, or `segments` of an SMS."""

    channel: str
    n_bytes: int | None = None
    limit: int | None = None
    segments: int | None = None
    refused: str | None = None

    @property
    def pct(self) -> int:
        """Share of the limit that is used, in percent."""
        return round(100 * self.n_bytes / self.limit) if self.n_bytes is not None and self.limit else 0


@dataclass(frozen=True)
class Shown:
    """One message as it would arrive."""

    material: str
    locale: str
    title: str | None
    body: str | None
    link: str | None
    rejected: str | None
    weights: tuple[Weight, ...]
    campaign: str | None


def segments(text: str) -> int:
    """Return how many parts an SMS takes: 160 or 70 places alone, 153 or 67 joined.

    Source: 3GPP TS 23.038, 6.2.1 and annex A.
    """
    if all(letter in _GSM or letter in _GSM_TWICE for letter in text):
        places, alone, joined = sum(2 if letter in _GSM_TWICE else 1 for letter in text), 160, 153
    else:
        places, alone, joined = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if places <= alone else -(-places // joined)


def shown(
    documents: Mapping[Key, AnyDocument], campaign: Campaign, person: dict[str, Any] | None = None
) -> list[Shown]:
    """Return every message of a campaign, by material and language; for a person, theirs only."""
    limits = ProviderLimits.of_documents(documents)
    return [
        message
        for name in campaign.materials
        for message in _of_material(documents, limits, name, campaign, person)
    ]


def shown_with(documents: Mapping[Key, AnyDocument], kind: str, name: str) -> list[Shown]:
    """Return what a material says, or every material of a template, each in every language.

    Where several campaigns use a material, it is shown as the first of them sends it.
    """
    limits = ProviderLimits.of_documents(documents)
    materials = [
        document.id
        for _, document in sorted(documents.items())
        if isinstance(document, Material)
        and name == (document.id if kind == "material" else document.template)
        and ("template", document.template) in documents
    ]
    campaigns = [document for _, document in sorted(documents.items()) if isinstance(document, Campaign)]
    messages: list[Shown] = []
    for material in materials:
        user = next((campaign for campaign in campaigns if material in campaign.materials), None)
        messages += _of_material(documents, limits, material, user, None)
    return messages


def _of_material(
    documents: Mapping[Key, AnyDocument],
    limits: ProviderLimits,
    name: str,
    campaign: Campaign | None,
    person: dict[str, Any] | None,
) -> list[Shown]:
    material = documents["material", name]
    assert isinstance(material, Material)
    template = documents["template", material.template]
    assert isinstance(template, Template)
    messages = []
    for entry in preview_material(documents, name, campaign, person, limits.refusals):
        weights: tuple[Weight, ...] = ()
        if entry["rejected"] is None and campaign is not None:
            words = Rendered(entry["title"], entry["body"], entry["link"])
            weights = tuple(
                _weight(limits, campaign, channel, words, entry["refused"].get(channel))
                for channel in limits.of(campaign, template)
            )
        names = ("material", "locale", "title", "body", "link", "rejected")
        user = campaign.id if campaign else None
        messages.append(Shown(**{name: entry[name] for name in names}, weights=weights, campaign=user))
    return messages


def _weight(
    limits: ProviderLimits, campaign: Campaign, channel: str, words: Rendered, refused: str | None
) -> Weight:
    if form_of(channel) == "sms":
        text = "\n".join(part for part in (words.title, words.body, words.link) if part)
        return Weight(channel, segments=segments(text), refused=refused)
    error = limits.refusal(campaign, channel, words._replace(body=words.body + _PAD))
    if error is None or error.n_bytes is None:
        return Weight(channel, refused=refused)
    return Weight(channel, error.n_bytes - len(_PAD), error.limit, refused=refused)
