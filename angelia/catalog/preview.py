"""The words a campaign would send: every material in every language, or as one person would read them.

Reads the catalog store, and `user_features` for a person. Prints to the operator who asked; a person's id is
in no error and no log.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from angelia.catalog.documents import Campaign, canonical
from angelia.catalog.store import CatalogStore
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.templates.rendering import CompiledTemplate, RowRejected, choose_locale, field_values


def person_row(lake: Lake, user_id: str, ds: str | None) -> dict[str, Any]:
    """Return a person's row of `user_features` of a night, or of the newest.

    Raises:
        NotFound: no features were built, or they do not have this person.
    """
    if ds is None:
        nights = lake.partitions("user_features")
        ds = nights[-1]["ds"] if nights else ""
        # A night after today comes of a mistyped year or a trial: it is the default only where there is no
        # other.
        ds = max(
            (night["ds"] for night in nights if night["ds"] <= datetime.now(UTC).date().isoformat()),
            default=ds,
        )
    commit = lake.require("user_features", ds=ds) if ds else None
    if commit is None:
        raise NotFound(
            "there are no user features yet", fix="run the night (build_features), or preview without --user"
        )
    for entry in commit.files:
        ids = lake.read_file(entry, ["user_id"])["user_id"]
        row = pc.index(ids, user_id).as_py()
        if row >= 0:
            found: dict[str, Any] = lake.read_file(entry).slice(row, 1).to_pylist()[0]
            return found
    raise NotFound(f"this person is not in user_features of {ds}", fix="check the id, or give another --ds")


def preview_campaign(
    store: CatalogStore, campaign_id: str, person: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return one entry per material and language: material, locale, title, body, link, rejected (reason or
    None).

    With a person only their language is rendered. Without, variables that come from a person take their
    default.

    Raises:
        NotFound: no such campaign.
    """
    store.get("campaign", campaign_id)
    heads = store.heads()
    bodies = {
        key: json.loads(canonical(head.document)) for key, head in heads.items() if head.document is not None
    }
    campaign = heads["campaign", campaign_id].document
    assert isinstance(campaign, Campaign)
    shown = []
    for name in campaign.materials:
        material = bodies["material", name]
        body = bodies["template", material["template"]]
        template = CompiledTemplate(body)
        values = field_values(body, material, campaign_id, person or {})
        wanted = material["locales"] or list(template.variants)
        locales = (
            [choose_locale(person["locale"], template.variants, template.default_locale)]
            if person
            else sorted(wanted)
        )
        for locale in locales:
            entry: dict[str, Any] = {
                "material": name,
                "locale": locale,
                "title": None,
                "body": None,
                "link": None,
                "rejected": None,
            }
            try:
                entry.update(template.render(locale, values)._asdict())
            except RowRejected as error:
                entry["rejected"] = error.reason
            shown.append(entry)
    return shown
