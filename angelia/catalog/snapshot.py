"""The catalog as of a night: the one object that every job of that night reads.

Grain: one row = one document (kind, id) with its version and canonical JSON. Reads the catalog store and the
log `stops`; writes one commit of `catalog_snapshot`, so no job reads the database. Equal catalogs give equal
bytes. The campaigns that were stopped at that moment stand in the commit's meta, so a replay of the night
leaves out the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol, TypeVar

import pyarrow as pa

from angelia.catalog.documents import (
    KINDS,
    AnyDocument,
    Audience,
    Campaign,
    Channel,
    Experiment,
    Material,
    Policy,
    Template,
    canonical,
)
from angelia.contracts import arrow, dataset
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Commit, Lake
from angelia.users.suppressions import Held, fold_stops

D = TypeVar("D", Policy, Channel, Audience, Template, Material, Campaign, Experiment)


@dataclass(frozen=True)
class StoredDocument:
    """A document at a version."""

    document: AnyDocument
    version: int

    @property
    def key(self) -> tuple[str, str]:
        """Kind and id."""
        return self.document.kind, self.document.id


class Documents(Protocol):
    """Where documents come from: the catalog store."""

    def current(self) -> list[StoredDocument]:
        """Return the newest version of every document that is not removed."""


@dataclass(frozen=True)
class Catalog:
    """All documents of one snapshot, by id.

    `stopped` holds the campaigns that were stopped when it was taken.
    """

    policy: Policy
    campaigns: Mapping[str, Campaign]
    audiences: Mapping[str, Audience]
    materials: Mapping[str, Material]
    templates: Mapping[str, Template]
    channels: Mapping[str, Channel]
    experiments: Mapping[str, Experiment]
    versions: Mapping[tuple[str, str], int]
    stopped: frozenset[str] = frozenset()
    commit: Commit | None = field(default=None, compare=False)

    def running(self, days: Iterable[date], *, with_triggered: bool = False) -> dict[str, Campaign]:
        """Return the running campaigns that serve one of the (local) days, sorted by id.

        Stopped campaigns are left out, and those that events set off, unless they are asked for: no night
        plans them.
        """
        wanted = list(days)
        return {
            name: campaign
            for name, campaign in sorted(self.campaigns.items())
            if name not in self.stopped
            and (with_triggered or campaign.trigger is None)
            and any(campaign.occurrence_on(day) is not None for day in wanted)
        }

    def materials_of(self, campaign_id: str) -> list[str]:
        """Return the materials that a campaign or an arm of its experiment may show, by id.

        An apply refuses an arm's material that the campaign lacks; older snapshots may still hold one.
        """
        campaign = self.campaigns[campaign_id]
        names = set(campaign.materials)
        if campaign.experiment:
            names.update(
                name for arm in self.experiments[campaign.experiment].arms for name in arm.materials or ()
            )
        return sorted(names)

    def template_of(self, material_id: str) -> tuple[Template, int]:
        """Return a material's template and the template's version."""
        template = self.templates[self.materials[material_id].template]
        return template, self.versions["template", template.id]


def catalog_of(
    documents: Iterable[StoredDocument], stopped: Iterable[str] = (), commit: Commit | None = None
) -> Catalog:
    """Return the catalog that these documents make.

    Raises:
        InvalidInput: there is no policy.
    """
    by_kind: dict[str, dict[str, AnyDocument]] = {kind: {} for kind in KINDS}
    versions: dict[tuple[str, str], int] = {}
    for stored in documents:
        by_kind[stored.document.kind][stored.document.id] = stored.document
        versions[stored.key] = stored.version
    policy = by_kind["policy"].get("default")
    if not isinstance(policy, Policy):
        raise InvalidInput(
            "the catalog has no policy",
            fix="apply a document of kind policy, e.g. `angelia catalog apply campaigns/`",
        )

    def of(model: type[D]) -> dict[str, D]:
        documents = by_kind[model.model_fields["kind"].default]
        return {name: document for name, document in sorted(documents.items()) if isinstance(document, model)}

    return Catalog(
        policy,
        of(Campaign),
        of(Audience),
        of(Material),
        of(Template),
        of(Channel),
        of(Experiment),
        versions,
        frozenset(stopped),
        commit,
    )


def documents_of(catalog: Catalog) -> list[StoredDocument]:
    """Return a catalog's documents with their versions, by kind and id."""
    kinds = (
        catalog.campaigns,
        catalog.audiences,
        catalog.materials,
        catalog.templates,
        catalog.channels,
        catalog.experiments,
    )
    documents: list[AnyDocument] = [
        catalog.policy,
        *(document for kind in kinds for document in kind.values()),
    ]
    return sorted(
        (StoredDocument(one, catalog.versions[one.kind, one.id]) for one in documents),
        key=lambda stored: stored.key,
    )


def write_snapshot(lake: Lake, store: Documents, ds: str, *, stopped: Iterable[str] | None = None) -> Commit:
    """Publish the store's documents as the catalog of night `ds`.

    Equal catalogs make equal files.

    Args:
        stopped: the campaigns that were stopped then; None = those that are stopped now.

    Raises:
        InvalidInput: the catalog has no policy.
    """
    documents = sorted(store.current(), key=lambda stored: stored.key)
    # A replay's documents lack the channels that were paused on that night.
    paused = sorted(map(list, paused_channels(lake))) if stopped is None else []
    stopped = sorted(stopped_campaigns(lake) if stopped is None else stopped)
    catalog_of(documents, stopped)
    bodies = [canonical(stored.document) for stored in documents]
    table = pa.table(
        {
            "kind": [stored.document.kind for stored in documents],
            "id": [stored.document.id for stored in documents],
            "version": pa.array([stored.version for stored in documents], pa.int32()),
            "body": bodies,
        },
        schema=arrow.schema(dataset("catalog_snapshot")),
    )
    digest = hashlib.sha256()
    for stored, body in zip(documents, bodies, strict=True):
        digest.update(f"{stored.version}\x1f{body}\x1e".encode())
    digest.update("\x1f".join(stopped).encode())
    meta: dict[str, object] = {"stopped": stopped}
    if paused:
        digest.update(("\x1e" + "\x1f".join(map(":".join, paused))).encode())
        meta["paused"] = paused
    with lake.attempt("catalog_snapshot", ds=ds) as attempt:
        attempt.write(table, "documents.parquet")
        # The content's hash is a parameter, so that a racer with another catalog does not pass for an equal
        # run.
        return attempt.publish(params={"catalog_sha256": digest.hexdigest()}, meta=meta)


def load_snapshot(lake: Lake, ds: str) -> Catalog:
    """Return the catalog of night `ds`.

    Raises:
        NotFound: no snapshot was taken for this night.
        Corrupt: a row of it is no document any more.
    """
    return read_snapshot(lake, lake.require("catalog_snapshot", ds=ds))


def nearest_catalog(lake: Lake, ds: str) -> Catalog | None:
    """Return the newest catalog snapshot up to ds, else the oldest after it, else None."""
    days = [part["ds"] for part in lake.partitions("catalog_snapshot")]
    until = [day for day in days if day <= ds]
    chosen = until[-1] if until else (days[0] if days else None)
    return read_snapshot(lake, lake.require("catalog_snapshot", ds=chosen)) if chosen else None


def read_snapshot(lake: Lake, commit: Commit) -> Catalog:
    """Return the catalog of a given commit of `catalog_snapshot` (what a plan cites).

    Raises:
        Corrupt: a row of it is no document any more.
    """
    documents = []
    for row in lake.read(commit).to_pylist():
        try:
            documents.append(
                StoredDocument(KINDS[row["kind"]].model_validate_json(row["body"]), row["version"])
            )
        except (KeyError, ValueError):
            raise Corrupt(
                f"{commit.ref}: {row['kind']}/{row['id']} does not follow its model",
                fix="take the snapshot again",
            ) from None
    catalog = catalog_of(documents, commit.meta.get("stopped", ()), commit)
    return without_paused(catalog, [(name, channel) for name, channel in commit.meta.get("paused", ())])


def without_paused(catalog: Catalog, paused: Iterable[tuple[str, str]]) -> Catalog:
    """Return the catalog whose campaigns lack the channels they are paused on.

    A campaign with no channel left counts as stopped.
    """
    campaigns, stopped = dict(catalog.campaigns), set(catalog.stopped)
    for name, channel in paused:
        campaign = campaigns.get(name)
        if campaign is None or channel not in campaign.channels:
            continue
        left = tuple(one for one in campaign.channels if one != channel)
        if left:
            campaigns[name] = campaign.model_copy(update={"channels": left})
        else:
            stopped.add(name)
    return replace(catalog, campaigns=campaigns, stopped=frozenset(stopped))


def held(lake: Lake) -> dict[Held, bool]:
    """Return what the log `stops` comes to: (campaign, channel or None for all) -> is held."""
    state: dict[Held, bool] = {}
    fold_stops(state, lake.read_log("stops").to_pylist())
    return state


def stopped_campaigns(lake: Lake) -> set[str]:
    """Return the campaigns whose newest entry about all channels in the log `stops` says stop."""
    return {name for (name, channel), is_held in held(lake).items() if is_held and channel is None}


def paused_channels(lake: Lake) -> set[tuple[str, str]]:
    """Return the campaigns and channels whose newest entry in the log `stops` says stop."""
    return {(name, channel) for (name, channel), is_held in held(lake).items() if is_held and channel}
