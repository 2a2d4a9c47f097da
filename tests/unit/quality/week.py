"""A week of verdicts: good, a warning, nothing, a crash, a failure; and squares read back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from angelia.lake import Lake
from angelia.quality import CheckVerdict
from angelia.quality.verdicts import store

LAST = "2026-11-14"


GOOD = CheckVerdict(
    "sources",
    LAST,
    "user_events",
    "user_events.item.pattern",
    "item",
    "critical",
    True,
    False,
    1000,
    2,
    0.2,
    1.0,
    "no pattern",
    "angelia quality rows …",
)


NULLS = replace(
    GOOD, check="user_events.user_id.not_null", column="user_id", breach="null", bad_pct=0.5, n_bad=5
)


def keep(lake: Lake, ds: str, *verdicts: CheckVerdict) -> None:
    for gate in dict.fromkeys(one.gate for one in verdicts):
        store(lake, gate, ds, [replace(one, ds=ds) for one in verdicts if one.gate == gate])


def failing(of: CheckVerdict, **changes: Any) -> CheckVerdict:
    return replace(of, success=False, n_bad=300, bad_pct=30.0, **changes)


def svgs(page: str, aria: str) -> ElementTree.Element:
    """Return the wide drawing whose description begins so."""
    (match,) = re.findall(rf'<div class="wide">(<svg [^>]*aria-label="{aria}.*?</svg>)', page, re.DOTALL)
    return ElementTree.fromstring(match)


def squares(page: str) -> dict[str, list[str]]:
    """Return the states by day (from the titles) of each row of the matrix."""
    words: dict[str, list[str]] = {}
    for title in svgs(page, "Verdicts").iter("title"):
        name, day, word = re.match(r"(\w+), ([\d-]+): ([\w ]+)", title.text or "").groups()  # type: ignore[union-attr]
        words.setdefault(name, []).append(f"{day[8:]} {word}")
    return words
