"""The last few planned nights that people were asked about, kept open between questions.

Grain: night. Reads what `ResidentNight` reads; writes nothing. Surprise: an erasure takes away files that a
kept night cites, so a night that misses one is opened again, once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from angelia.asking.fate import Openings
from angelia.asking.night import ResidentNight, manifest_before, open_night, require_plan
from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.errors import Corrupt
from angelia.lake import Lake
from angelia.users.one_person import PersonLake
from models.registry import Registry

KEPT_AT_MOST = 3  # each holds the sets of its audiences and a model


class Nights:
    """Keeps the nights that were asked about last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, ...], ResidentNight] = OrderedDict()
        self.openings = Openings()

    def why(self, lake: Lake, user: str, ds: str, person: PersonLake, registry: Registry) -> Why:
        """Return why a person got what they got on a night, as `asking.why` does.

        Raises:
            AngeliaError: the night cannot be explained.
        """
        try:
            return why(lake, user, registry=registry, person=person, resident=self.of(lake, ds))
        except Corrupt:
            with self._lock:
                self._kept.clear()
        fresh = PersonLake(lake, person.ordinal, person.shard_bits, person.footers)
        return why(lake, user, registry=registry, person=fresh, resident=self.of(lake, ds))

    def of(self, lake: Lake, ds: str) -> ResidentNight:
        """Return a night, opened once as long as what it was made from stands.

        Another plan, other manifests of the night before or an erasure open it again.

        Raises:
            NotFound: it has no plan.
        """
        plan, before = require_plan(lake, ds), manifest_before(lake, ds)
        erased = lake.erasures()
        key = (plan.citation(), before.citation() if before else "", str(erased))
        with self._lock:
            night = self._kept.get(key)
            if night is None:
                night = self._kept[key] = ResidentNight(open_night(lake, ds), self.openings)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_AT_MOST:
                self._kept.popitem(last=False)
            return night
