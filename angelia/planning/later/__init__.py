"""What tonight's messages cost later: tired people open less, and some refuse for good.

Public face: `Fatigue` (what was learned), `later_costs` (what a message of each pair costs), `look_costs` and
    `bears_two` (an operator's price on refusals). Pure functions
    on arrays; `models.tiring` learns the figures, the meta of material_scores carries them to the plan.
"""

from angelia.planning.later.fatigue import FELT_DAYS, Fatigue, LaterCosts, later_costs
from angelia.planning.later.refusals import bears_two, look_costs

__all__ = ["FELT_DAYS", "Fatigue", "LaterCosts", "bears_two", "later_costs", "look_costs"]
