"""One shard's messages of a night, as the manifest holds them: fields, hours, windows.

Part of emit_manifests. Grain: message. Reads decisions and user_features of one shard; writes nothing.
Addresses and dispatch ids come later, by an exchange.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.document_parts import WEEKDAYS
from angelia.catalog.documents import Campaign, Material
from angelia.catalog.snapshot import Catalog
from angelia.contracts import dataset
from angelia.contracts.arrow import by_ordinal
from angelia.contracts.outcomes import SENT
from angelia.contracts.sending import OWN_HOURS
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.templates.rendering import field_values, user_columns
from angelia.timing.closing import has_left_by
from angelia.timing.own_hours import joined
from angelia.users.features import own_spans


def messages_of_shard(
    lake: Lake, decisions: Commit, features: Commit, catalog: Catalog, held: Sequence[str], shard: int
) -> pa.Table:
    """Return the manifest columns of a shard's messages, without address and dispatch id.

    Messages of campaigns that are held back are left out.
    """
    people, choice = sent_choices(
        lake.read(decisions, ["ordinal", "user_id", "choices"], where=in_shard(shard)), held
    )
    names, materials = choice["campaign_id"].to_pylist(), choice["material_id"].to_pylist()
    campaigns = [catalog.campaigns[name] for name in names]
    templates = [catalog.template_of(name) for name in materials]
    template_ids = [template.id for template, _ in templates]
    fields_of = _Fields(catalog)
    users = _features_of(lake, features, shard, people["ordinal"], fields_of.columns)
    slots = choice["slot"].to_pylist()
    quiet = _quiet_hours(catalog, users, campaigns)
    documents = [catalog.materials[name] for name in materials]
    closes = list(map(_closes, users["timezone"].to_pylist(), slots, campaigns, documents))
    values = {
        "dispatch_id": pa.nulls(len(names), pa.string()),
        "message_id": choice["message_id"],
        "user_id": people["user_id"],
        "ordinal": people["ordinal"],
        "campaign_id": names,
        "occurrence": choice["occurrence"],
        "material_id": materials,
        "topic": [campaign.topic for campaign in campaigns],
        "channel": choice["channel"],
        "address": pa.nulls(len(names), pa.string()),
        "template_id": template_ids,
        "template_version": [version for _, version in templates],
        "fields": fields_of.messages(template_ids, materials, names, users),
        "locale": users["locale"],
        "priority": [campaign.priority for campaign in campaigns],
        "guarantee": [campaign.guarantee for campaign in campaigns],
        "send_ts": slots,
        "not_before": slots,
        "not_after": closes,
        "timezone": users["timezone"],
        "quiet_start": [start for start, _ in quiet],
        "quiet_end": [end for _, end in quiet],
        "collapse_key": names,
        "ttl_s": [campaign.ttl_hours * 3600 for campaign in campaigns],
        "material_propensity": choice["material_propensity"],
        "slot_propensity": choice["slot_propensity"],
    }
    columns = dataset("dispatch_manifest").columns
    return pa.table({column.name: _typed(values[column.name], column.type) for column in columns})


def sent_choices(decisions: pa.Table, held: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Return a row per message that goes out: whose it is, and what was chosen."""
    lists = decisions["choices"].combine_chunks()
    flat = lists.flatten()
    is_held = pc.is_in(pc.struct_field(flat, "campaign_id"), pa.array(list(held), pa.string()))
    is_sent = pc.and_not(pc.equal(pc.struct_field(flat, "outcome"), SENT), is_held)
    owner = lists.value_parent_indices().filter(is_sent)
    people = decisions.select(["ordinal", "user_id"]).take(owner)
    return people, pa.Table.from_struct_array(flat.filter(is_sent))


def _features_of(
    lake: Lake, features: Commit, shard: int, ordinal: pa.ChunkedArray, columns: Sequence[str]
) -> pa.Table:
    """Return the features of each message's person, in the order of messages."""
    names = list(dict.fromkeys(["ordinal", "locale", "timezone", *OWN_HOURS, *columns]))
    users = by_ordinal(lake.read(features, names, where=in_shard(shard)))
    # Features are sorted by ordinal and hold every planned person, so a search finds the row without a join.
    return users.take(pa.array(np.searchsorted(users["ordinal"].to_numpy(), ordinal.to_numpy())))


class _Fields:
    """What the templates of a night insert into each message; a document is written out once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.templates = {name: item.model_dump(mode="json") for name, item in catalog.templates.items()}
        self.materials = {name: item.model_dump(mode="json") for name, item in catalog.materials.items()}
        # The features that any template inserts.
        self.columns = sorted({column for item in self.templates.values() for column in user_columns(item)})

    def messages(
        self, templates: Sequence[str], materials: Sequence[str], campaigns: Sequence[str], users: pa.Table
    ) -> list[str]:
        """Return each message's field values as JSON."""
        people = users.select(self.columns).to_pylist() if self.columns else [{}] * len(users)
        return [
            json.dumps(
                field_values(self.templates[template], self.materials[material], campaign, user),
                sort_keys=True,
                ensure_ascii=False,
            )
            for template, material, campaign, user in zip(
                templates, materials, campaigns, people, strict=True
            )
        ]


def _quiet_hours(
    catalog: Catalog, users: pa.Table, campaigns: Sequence[Campaign]
) -> list[tuple[int | None, int | None]]:
    """Return each message's quiet hours: the policy's joined with the person's own."""
    policy, own = catalog.policy.quiet_hours, own_spans(users)
    general = None if policy is None else (policy.start, policy.end)
    return [
        (None, None) if campaign.is_transactional else joined(general, own.get(row)) or (None, None)
        for row, campaign in enumerate(campaigns)
    ]


def _closes(zone: str, slot: datetime, campaign: Campaign, material: Material) -> datetime:
    """Return until when a message may still go; later it is dropped, not sent late."""
    if campaign.is_transactional:
        return slot + timedelta(hours=campaign.ttl_hours)
    last = min(campaign.end_date, material.valid_until or date.max)
    end = campaign.send_window.end if campaign.send_window else None
    weekdays = frozenset(map(WEEKDAYS.index, campaign.occurrence.weekdays or ()))
    return has_left_by(zone, slot, campaign.ttl_hours, end, last, weekdays)


def _typed(values: object, kind: pa.DataType) -> object:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
