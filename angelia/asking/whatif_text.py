"""The difference that settings make, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from angelia.asking.settings import Setting
from angelia.asking.whatif import Pair, WhatIf
from angelia.contracts.outcomes import DECIDED


def lines(answer: WhatIf) -> list[str]:
    """Return a difference for people."""
    asked = ", ".join(f"{name}={value}" for name, value in answer.settings.items()) or "nothing set"
    gap = {side: answer.certificates[side].get("gap_pct") for side in ("plan", "what_if")}
    names = ["by campaign", *answer.campaigns, *answer.channels]
    width = max(map(len, names))
    page = [f"night {answer.ds}, {answer.plan}; what if {asked}"]
    page += [f"  impossible: {one}" for one in answer.contradictions]
    page += [
        f"  {'':<{width}}  {'messages':^33}  {'value':^35}  {'opens expected':^33}".rstrip(),
        f"  {'':<{width}}  {_heads(9)}  {_heads(11)}  {_heads(9)}".rstrip(),
        f"  {'all':<{width}}  {_counts(answer.total)}",
        "  by campaign",
        *(f"  {name:<{width}}  {_counts(pair)}" for name, pair in answer.campaigns.items()),
        "  by channel",
        *(f"  {name:<{width}}  {_counts(pair)}" for name, pair in answer.channels.items()),
        f"  people with a message {answer.people[0]:,} -> {answer.people[1]:,} "
        f"({answer.people[1] - answer.people[0]:+,}); gap {gap['plan']} % -> {gap['what_if']} %",
    ]
    moves = [(name, one) for name, one in answer.moves.items() if one.gained or one.lost or one.moved]
    page += [
        f"  {name:<{width}}  {one.gained:>8,} gained {one.lost:>8,} lost {one.moved:>8,} at another hour"
        for name, one in moves
    ]
    page += _reasons(answer)
    return page + [f"  note: {note}" for note in answer.notes]


def _heads(last: int) -> str:
    return f"{'plan':>11} {'what if':>11} {'':>{last}}"


def _counts(pair: Pair) -> str:
    def three(a: float, b: float, digits: int, last: int = 9) -> str:
        return f"{a:>11,.{digits}f} {b:>11,.{digits}f} {b - a:>+{last},.{digits}f}"

    a, b = pair.plan, pair.what_if
    value = three(a.value_micros / 1e6, b.value_micros / 1e6, 2, 11)
    return f"{three(a.messages, b.messages, 0)}  {value}  {three(a.opens, b.opens, 1)}"


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
