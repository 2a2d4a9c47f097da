"""What tonight's messages cost later: tired people open less, and some refuse for good.

Public face: `Fatigue` (what was learned), `price_later` (a night's whole price: enter here), `later_costs`
    (what a message of each pair costs), `look_costs` and `bears_two` (an operator's price on refusals),
    `find_price` and `steered` (the price that keeps to a limit on them). Pure functions on arrays;
    `models.tiring` learns the figures, the meta of material_scores carries them to the plan.
"""

from angelia.planning.later.fatigue import FELT_DAYS, Fatigue, LaterCosts, later_costs
from angelia.planning.later.pricing import PricedPairs, price_later
from angelia.planning.later.refusals import bears_two, look_costs
from angelia.planning.later.steering import UsualHours, centred, find_price, risks, steered

__all__ = [
    "FELT_DAYS",
    "Fatigue",
    "LaterCosts",
    "PricedPairs",
    "UsualHours",
    "bears_two",
    "centred",
    "find_price",
    "later_costs",
    "look_costs",
    "price_later",
    "risks",
    "steered",
]
