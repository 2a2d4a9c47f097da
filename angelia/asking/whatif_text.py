"""The difference that settings make, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from angelia.asking.settings import Setting
from angelia.asking.whatif import Figures, Pair, WhatIf
from angelia.contracts.outcomes import DECIDED


def lines(answer: WhatIf) -> list[str]:
    """Return a difference for people."""
    asked = ", ".join(f"{name}={value}" for name, value in answer.settings.items()) or "nothing set"
    gap = {side: answer.certificates[side].get("gap_pct") for side in ("plan", "what_if")}
    found = [f"night {answer.ds}, {answer.plan}; what if {asked}"]
    found += [f"  impossible: {one}" for one in answer.contradictions]
    found += _table("", {"all": answer.total})
    found.append(
        f"  people with a message {answer.people[0]:,} -> {answer.people[1]:,} "
        f"({answer.people[1] - answer.people[0]:+,}); gap {gap['plan']} % -> {gap['what_if']} %"
    )
    found += _table("by campaign", answer.campaigns)
    found += [
        f"    {name}: {one.gained:,} gained, {one.lost:,} lost, {one.moved:,} at another hour or channel"
        for name, one in answer.moves.items()
        if one.gained or one.lost or one.moved
    ]
    found += _table("by channel", answer.channels)
    found += _reasons(answer)
    return found + [f"  note: {note}" for note in answer.notes]


def _table(title: str, rows: Mapping[str, Pair]) -> Iterator[str]:
    width = max([len(name) for name in rows] + [len(title)], default=0)
    yield f"  {title:<{width}}  {'messages':>31}  {'value':>33}  {'opens expected':>31}"
    for name, pair in rows.items():
        yield f"  {name:<{width}}  {_counts(pair)}"


def _counts(pair: Pair) -> str:
    def three(a: float, b: float, digits: int) -> str:
        return f"{a:>11,.{digits}f} {b:>11,.{digits}f} {b - a:>+9,.{digits}f}"

    a, b = pair.plan, pair.what_if
    value = f"{a.value_micros / 1e6:>11,.2f} {b.value_micros / 1e6:>11,.2f} {_more(a, b):>+11,.2f}"
    return f"{three(a.messages, b.messages, 0)}  {value}  {three(a.opens, b.opens, 1)}"


def _more(a: Figures, b: Figures) -> float:
    return (b.value_micros - a.value_micros) / 1e6


def _reasons(answer: WhatIf) -> Iterator[str]:
    total: dict[str, list[int]] = {}
    for outcomes in answer.outcomes.values():
        for name, (before, after) in outcomes.items():
            both = total.setdefault(name, [0, 0])
            both[0], both[1] = both[0] + before, both[1] + after
    changed = {name: (a, b) for name, (a, b) in total.items() if a != b}
    if not changed:
        yield "  every outcome is as planned"
        return
    width = max(map(len, changed))
    yield "  outcomes that change"
    for name, (a, b) in sorted(changed.items(), key=lambda item: -abs(item[1][1] - item[1][0])):
        yield f"  {name:<{width}}  {a:>11,} {b:>11,} {b - a:>+9,}  {DECIDED.get(name, '')}"


def setting_lines(settings: Sequence[Setting]) -> list[str]:
    """Return what may be set, with its value on the night."""
    width = max((len(one.name) for one in settings), default=0)
    value = max((len(one.value) for one in settings), default=0)
    return [f"{one.name:<{width}}  {one.value:<{value}}  {one.meaning}: {one.takes}" for one in settings]
