"""The people of a batch: what the newest night knows of them, and their addresses.

Grain: person. Reads `user_features`, `user_endpoints`, `catalog_snapshot`, `suppressions`; writes nothing.
Surprise: who is not among the night's people yet is unknown here until the next night; the catalog is that of
the newest snapshot, of whatever night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.documents import Template
from angelia.catalog.snapshot import Catalog, read_snapshot
from angelia.delivery.worker.fallover import OpenAddresses
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.templates.rendering import user_columns
from angelia.users.index import require_index

_COLUMNS = (
    *("user_id", "ordinal", "timezone", "locale", "device_vendor"),
    *("channels", "opted_out_topics", "is_suppressed"),
)
_KEPT_ROWS = 2_000_000  # so many people's columns stay in memory, some hundred MiB; of more each batch reads
Person = Mapping[str, Any]


@dataclass(frozen=True)
class BatchSources:
    """The commits that batches are made from, newest of each."""

    catalog: Commit
    features: Commit
    endpoints: Commit

    @classmethod
    def newest(cls, lake: Lake) -> BatchSources:
        """Return the newest night's commits.

        Raises:
            NotFound: no night has features and addresses, or no catalog snapshot was taken.
        """
        nights = {leaf["ds"] for leaf in lake.partitions("user_features")}
        nights &= {leaf["ds"] for leaf in lake.partitions("user_endpoints")}
        snapshots = [leaf["ds"] for leaf in lake.partitions("catalog_snapshot")]
        if not nights or not snapshots:
            raise NotFound(
                "nobody can be reached: no night has people, addresses and a catalog yet",
                fix="run a night, or `angelia bootstrap`, first",
            )
        night = max(nights)
        return cls(
            lake.require("catalog_snapshot", ds=max(snapshots)),
            lake.require("user_features", ds=night),
            lake.require("user_endpoints", ds=night),
        )

    @property
    def night(self) -> str:
        """The day whose people these are."""
        return self.features.partition["ds"]

    def all(self) -> list[Commit]:
        """Return the commits, to be cited."""
        return [self.catalog, self.features, self.endpoints]


class Contents:
    """A catalog with its templates and materials as rows need them, made once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._known: dict[str, tuple[Template, int, dict[str, Any], dict[str, Any]]] = {}

    def of(self, material: str) -> tuple[Template, int, dict[str, Any], dict[str, Any]]:
        """Return a material's template, its version, and both as plain documents."""
        if material not in self._known:
            template, version = self.catalog.template_of(material)
            fields = self.catalog.materials[material].model_dump(mode="json")
            self._known[material] = (template, version, template.model_dump(mode="json"), fields)
        return self._known[material]


class NightPeople:
    """The people of one night, looked up by id."""

    def __init__(self, lake: Lake, sources: BatchSources) -> None:
        self.sources, self._lake = sources, lake
        self.catalog: Catalog = read_snapshot(lake, sources.catalog)
        wanted = {
            column
            for template in self.catalog.templates.values()
            for column in user_columns(template.model_dump(mode="json"))
        }
        self._columns = list(dict.fromkeys([*_COLUMNS, *sorted(wanted)]))
        self._table: pa.Table | None = None
        bits = int(require_index(lake).meta["shard_bits"])
        self.contents = Contents(self.catalog)
        self._reach = OpenAddresses(lake, sources.features, sources.endpoints, bits, kept_rows=_KEPT_ROWS)

    def of(self, users: Sequence[str]) -> dict[str, Person]:
        """Return what the night knows of these people; who is not in it is left out."""
        wanted = pa.array(sorted(set(users)), pa.string())
        table = self._table
        if table is None:
            table = self._lake.read(self.sources.features, self._columns)
            if table.num_rows <= _KEPT_ROWS:
                self._table = table
        rows = table.filter(pc.is_in(table["user_id"], wanted)).to_pylist()
        return {row["user_id"]: row for row in rows}

    def addresses(self, people: Mapping[str, Person]) -> dict[tuple[str, str], str]:
        """Return the address of each (person, channel) that may be used."""
        if not people:
            return {}
        return self._reach.addresses(list(people), [int(person["ordinal"]) for person in people.values()])
