"""How much better a message is opened by one channel than by another, and what the plan makes of it.

Reads counts of sent and opened messages, which `build_send_times` sums, and its commit's meta; writes
nothing. Enter at `responses` (counts to figures) and `with_responses` (figures to a night's terms).
"""

from angelia.planning.routes.responses import (
    Counts,
    add_counts,
    draw_channels,
    responses,
    says_of,
    with_responses,
)

__all__ = ["Counts", "add_counts", "draw_channels", "responses", "says_of", "with_responses"]
