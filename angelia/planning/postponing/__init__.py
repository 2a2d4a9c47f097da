"""Messages that may wait: which night of the coming week each is worth most.

Public face: `prospect` (what a campaign's message would be opened with on each night, before the draw),
    `best_nights` (which night is each one's: enter here), `Postponable` (what of a pair it must know). Pure
    functions on arrays; a plan decides one night, so a message whose best night is a later one is left out of
    it under the reason `better_night`. `postponing.ahead` brings people's clocks and stands above.
"""

from angelia.planning.postponing.best import NIGHT_LOSS, Postponable, best_nights
from angelia.planning.postponing.later import (
    NIGHTS_AHEAD,
    MaterialRows,
    Prospect,
    Stretch,
    prospect,
    stretches,
)

__all__ = [
    "NIGHTS_AHEAD",
    "NIGHT_LOSS",
    "MaterialRows",
    "Postponable",
    "Prospect",
    "Stretch",
    "best_nights",
    "prospect",
    "stretches",
]
