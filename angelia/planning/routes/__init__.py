"""Which channel a message goes by: how well each is opened, and what each way costs.

Reads counts of sent and opened messages, which `build_send_times` sums, and its commit's meta; writes
nothing. Enter at `responses` (counts to figures), `with_responses` (figures to a night's terms),
`requests` (how many devices a message goes to) and `fees.fees` (what messages pay).
"""

from angelia.planning.routes.responses import (
    Counts,
    add_counts,
    affordable,
    draw_channels,
    responses,
    says_of,
    with_responses,
)

__all__ = ["Counts", "add_counts", "affordable", "draw_channels", "responses", "says_of", "with_responses"]
