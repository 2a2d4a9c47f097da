"""Quiet hours of one person's own, joined with those of the policy.

Pure functions. Surprise: a message has one span of quiet hours, so two that do not touch become the shorter
arc of the clock that covers both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from angelia.timing.local_time import in_quiet

Span = tuple[int, int]  # first quiet local hour, first one after; may go across midnight
_SPAN = re.compile(r"^([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-3])$")


def parse_span(text: str) -> Span | None:
    """Return the hours that `22-8` names; None if it names none."""
    match = _SPAN.fullmatch(text)
    span = (int(match[1]), int(match[2])) if match else None
    return None if span is None or span[0] == span[1] else span


def joined(policy: Span | None, own: Span | None) -> Span | None:
    """Return the one span that covers both; None = no hour is quiet."""
    if policy is None or own is None:
        return policy or own
    spans = (policy, own)
    lengths = [(end - start) % 24 for start, end in spans]
    # The shortest arc that begins with one of them and ends where the later of the two ends.
    arcs = []
    for start, _ in spans:
        reach = max((other - start) % 24 + length for (other, _), length in zip(spans, lengths, strict=True))
        arcs.append((min(reach, 24), start))
    length, start = min(arcs)
    # A whole day is written as all hours but one: a span of equal ends would be none.
    return start, (start + min(length, 23)) % 24


def quiet_slots(
    policy: Span | None, own: Mapping[int, Span], hour: npt.NDArray[np.int8], is_broken: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which slots are quiet for people with hours of their own, (n, h); of others none.

    Args:
        policy: everybody's quiet hours.
        own: person's row -> their own.
        hour: (n, h) local hours.
        is_broken: (n, h) whether the next local hour begins within the slot: then it must be awake, too.
    """
    quiet = np.zeros(hour.shape, bool)
    for row, span in own.items():
        start, end = joined(policy, span) or (0, 0)
        quiet[row] = in_quiet(hour[row], start, end)
        quiet[row] |= is_broken[row] & in_quiet((hour[row] + 1) % 24, start, end)
    return quiet
