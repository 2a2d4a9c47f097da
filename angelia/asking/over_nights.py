"""Effects over nights, kept in the lake with the time until an effect is seen.

Grain: span of nights. Reads a panel; writes a numbered object beside the last night's verdicts, never a
dataset. The figures are those of `angelia effects over` and `angelia effects power`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from angelia.effects.over import METRICS, grown
from angelia.effects.panel import Panel
from angelia.effects.power import power
from angelia.lake import Lake, numbered

TOPIC = "effects-over"
EFFECT = 0.05  # an effect worth seeing: five per cent of the holdout's mean


def keep(lake: Lake, result: Mapping[str, Any], panel: Panel, planned: int) -> str:
    """Keep what was found, with the time until an effect is seen; return the object's key."""
    answer = {**result, "effect": EFFECT, "power": list(_powers(panel, planned))}
    plain = json.loads(json.dumps(answer, default=str))
    return numbered.store(lake, TOPIC, panel.nights[-1].ds, plain)


def newest(lake: Lake, nights: Iterable[str]) -> dict[str, Any] | None:
    """Return what was kept last about the first of these nights that has something.

    Raises:
        Corrupt: it is damaged.
    """
    for ds in nights:
        stored = numbered.load(lake, TOPIC, ds)
        if stored is not None:
            return dict(stored[1])
    return None


def _powers(panel: Panel, planned: int) -> Iterable[dict[str, Any]]:
    for scope, metric in sorted(
        panel.moments, key=lambda key: (key[0] != "all", key[0], METRICS.index(key[1]))
    ):
        growth = grown(panel, scope, metric)
        if growth is None:
            continue
        moments = panel.moments[scope, metric]
        sides = float(moments.treated.n[-1]), float(moments.holdout.n[-1])
        answer = power(growth, *sides, EFFECT, planned)
        yield {
            "scope": scope,
            "metric": metric,
            "nights_one_look": answer.fixed_nights,
            "nights_any_look": answer.sequential_nights,
            "smallest": [[n, least] for n, least in answer.smallest],
        }
