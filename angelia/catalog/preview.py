"""The text a campaign would send: every material by language, or as one person reads it.

Reads the catalog store, and `user_features` for a person. Prints to the operator who asked; a person's id is
in no error and no log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from angelia.catalog.documents import AnyDocument, Campaign, Material, Template, canonical
from angelia.catalog.problems import Key
from angelia.catalog.store import CatalogStore
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.templates.rendering import CompiledTemplate, Rendered, RowRejected, choose_locale, field_values

SAMPLE = 200  # people whose messages are rendered and checked
Refuse = Callable[[Campaign, Template, Rendered], dict[str, str]]
"""Says, by channel, why a provider would refuse a message."""


def person_row(lake: Lake, user_id: str, ds: str | None) -> dict[str, Any]:
    """Return a person's row of `user_features` of a night, or of the newest.

    Raises:
        NotFound: no features were built, or they do not have this person.
    """
    ds = ds or _newest_night(lake)
    commit = lake.require("user_features", ds=ds) if ds else None
    if commit is None:
        raise NotFound(
            "there are no user features yet", fix="run the night (build_features), or preview without --user"
        )
    for entry in commit.files:
        ids = lake.read_file(entry, ["user_id"])["user_id"]
        row = pc.index(ids, user_id).as_py()
        if row >= 0:
            person: dict[str, Any] = lake.read_file(entry).slice(row, 1).to_pylist()[0]
            return person
    raise NotFound(f"this person is not in user_features of {ds}", fix="check the id, or give another --ds")


def sample_people(lake: Lake, ds: str | None, columns: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """Return a night (the newest unless given) and the first people of its `user_features`.

    Without features there are none.
    """
    ds = ds or _newest_night(lake)
    commit = lake.head("user_features", ds=ds) if ds else None
    if commit is None or not commit.files:
        return "", []
    rows: list[dict[str, Any]] = lake.read_file(commit.files[0], columns).slice(0, SAMPLE).to_pylist()
    return ds, rows


def _newest_night(lake: Lake) -> str:
    nights: list[str] = [night["ds"] for night in lake.partitions("user_features")]
    today = datetime.now(UTC).date().isoformat()
    # A night after today comes from a mistyped year or a trial: it is the default only if no other exists.
    return max((ds for ds in nights if ds <= today), default=nights[-1] if nights else "")


def standing(store: CatalogStore) -> dict[Key, AnyDocument]:
    """Return the catalog's documents by kind and id."""
    return {key: head.document for key, head in store.heads().items() if head.document is not None}


def keys_of(campaign: Campaign, documents: Mapping[Key, AnyDocument]) -> set[Key]:
    """Return a campaign, and the documents that its messages are made of and its channels."""
    keys: set[Key] = {("campaign", campaign.id), ("policy", "default")}
    keys |= {("channel", name) for name in campaign.channels}
    for name in campaign.materials:
        material = documents.get(("material", name))
        if isinstance(material, Material):
            keys |= {("material", name), ("template", material.template)}
    return keys


def preview_campaign(
    store: CatalogStore, campaign_id: str, person: dict[str, Any] | None, refuse: Refuse | None = None
) -> list[dict[str, Any]]:
    """Return one entry per material and language, with its text and its refusals.

    An entry holds material, locale, title, body, link, rejected (a reason or None), and refused: by channel,
    why its provider would not take the message. With a person only their language is rendered; without,
    variables that come from a person take their default.

    Raises:
        NotFound: no such campaign.
    """
    store.get("campaign", campaign_id)
    documents = standing(store)
    campaign = documents["campaign", campaign_id]
    assert isinstance(campaign, Campaign)
    return [
        entry
        for name in campaign.materials
        for entry in preview_material(documents, name, campaign, person, refuse)
    ]


def preview_material(
    documents: Mapping[Key, AnyDocument],
    name: str,
    campaign: Campaign | None,
    person: dict[str, Any] | None,
    refuse: Refuse | None = None,
) -> list[dict[str, Any]]:
    """Return one entry per language of a material, as `preview_campaign` does.

    Without a campaign no channel is known, so none refuses anything.
    """
    material = json.loads(canonical(documents["material", name]))
    document = documents["template", material["template"]]
    body = json.loads(canonical(document))
    template = CompiledTemplate(body)
    values = field_values(body, material, campaign.id if campaign else "", person or {})
    wanted = material["locales"] or list(template.variants)
    locales = (
        [choose_locale(person["locale"], template.variants, template.default_locale)]
        if person
        else sorted(wanted)
    )
    shown = []
    for locale in locales:
        entry: dict[str, Any] = {
            "material": name,
            "locale": locale,
            "title": None,
            "body": None,
            "link": None,
            "rejected": None,
            "refused": {},
        }
        try:
            words = template.render(locale, values)
            entry.update(words._asdict())
            if refuse is not None and campaign is not None and isinstance(document, Template):
                entry["refused"] = refuse(campaign, document, words)
        except RowRejected as error:
            # An answer, too: the night counts such a row under this reason.
            entry["rejected"] = error.reason
        shown.append(entry)
    return shown
