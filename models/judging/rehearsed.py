"""The verdict of a rehearsal: what a version decided in a simulated shop, kept beside it.

Grain: version. Reads and writes `p_open/rehearsals/{version}/` of the registry: verdict.json, and card.md,
the version's card with the verdict in it (the card beside the model is sealed by its manifest).
`angelia.rehearsal` makes the figures; here is the bar that they have to clear, since `models.promote` asks
for it: neither opens a message nor opens in all may lie more than a margin below the champion's or the usual
product's, with the whole interval.
"""

from __future__ import annotations

import json
from typing import Any

from angelia.errors import Corrupt, NotFound
from angelia.output import written_out
from models.registry import Registry, to_json

MARGIN = 0.05  # of the other's figure: what two small worlds may differ by chance
AS_IT_IS, TRAINED_THERE, SKIPPED = "as_it_is", "trained_there", "skipped"
OPENS = {"opens_per_message": "opens a message", "opens": "opens in all"}
WHO = {"champion": "the champion", "usual": "the usual product"}
Verdict = dict[str, Any]


def shortfalls(verdict: Verdict) -> list[str]:
    """Return why a rehearsal speaks against a version, one line a figure and other policy."""
    lines = []
    for other, gains in verdict.get("gains", {}).items():
        for figure, words in OPENS.items():
            gain, least = gains[figure], -MARGIN * verdict["figures"][other][figure]
            if gain["low"] > least:
                continue
            certain = "are credibly fewer than" if gain["high"] < 0 else "may be fewer than"
            value, low, high, bar = (
                written_out(number, 5) for number in (gain["value"], gain["low"], gain["high"], least)
            )
            lines.append(
                f"in the rehearsal its {words} {certain} those of {WHO[other]} ({value}, 95 % from {low} to "
                f"{high}; the bar is above {bar})"
            )
    return lines


def objections_of(registry: Registry, version: str, *, needed: bool) -> list[str]:
    """Return what a version's rehearsal objects to; its absence only where one is `needed`.

    A rehearsal that was skipped with a reason objects to nothing.
    """
    verdict = kept(registry, version)
    if verdict is not None:
        return shortfalls(verdict)
    if not needed:
        return []
    return [f"it was not rehearsed; run `angelia rehearse --version {version}`, or skip that with --skip WHY"]


def skipped(version: str, reason: str, by: str) -> Verdict:
    """Return the verdict of a rehearsal that was skipped: it objects to nothing, and says why."""
    return {"version": version, "how": SKIPPED, "reason": reason, "by": by, "figures": {}, "gains": {}}


def keep(registry: Registry, version: str, verdict: Verdict) -> None:
    """Keep a verdict of a version, and its card with it; a later verdict takes their place."""
    whole = registry.load(version)["card.md"].decode() + "\n" + "\n".join(card(verdict))
    registry.store.put(card_path(version), whole.encode())
    registry.store.put(f"{_folder(version)}/verdict.json", to_json(verdict))


def kept(registry: Registry, version: str) -> Verdict | None:
    """Return the verdict that is kept of a version, or None.

    Raises:
        Corrupt: it cannot be read.
    """
    try:
        verdict = json.loads(registry.store.read(f"{_folder(version)}/verdict.json"))
        if verdict["version"] != version:
            raise ValueError(verdict["version"])
        shortfalls(verdict)  # whatever is missing in it shows here
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Corrupt(
            f"model {version}: the verdict of its rehearsal is damaged",
            fix=f"run `angelia rehearse --version {version}`",
        ) from None
    return dict(verdict)


def card(verdict: Verdict) -> list[str]:
    """Return the card's section on the rehearsal, in Markdown."""
    lines = ["## What did it decide in a simulated shop?", ""]
    if verdict["how"] == SKIPPED:
        return [*lines, f"**Skipped** by {verdict['by']}: {verdict['reason']}", ""]
    refused = shortfalls(verdict)
    lines += [f"**{'Refused' if refused else 'Passed'}.** {verdict['says']}", ""]
    lines += [
        "| who decides | messages | opens | opens a message | refusals a message |",
        "|---|---|---|---|---|",
    ]
    for name, f in verdict["figures"].items():
        lines.append(
            f"| {'this version' if name == 'version' else WHO[name]} | {f['messages']:,} | {f['opens']:.1f} "
            f"| {f['opens_per_message']:.5f} | {f['unsubscribes_per_message']:.6f} |"
        )
    for other, gains in verdict["gains"].items():
        gain, least = gains["opens_per_message"], -MARGIN * verdict["figures"][other]["opens_per_message"]
        lines += [
            "",
            f"Against {WHO[other]}: {gain['value']:+.5f} opens a message, 95 % {gain['low']:+.5f} to "
            f"{gain['high']:+.5f} (the bar is above {least:.5f}).",
        ]
    return [*lines, *(["", *(f"- {line}" for line in refused)] if refused else []), ""]


def card_path(version: str) -> str:
    """Return where the card with the verdict lies in the registry."""
    return f"{_folder(version)}/card.md"


def _folder(version: str) -> str:
    return f"p_open/rehearsals/{version}"
