"""What tonight's messages cost later: tired people open less, and some refuse for good.

Public face: `Fatigue` (what was learned), `later_costs` (what a message of each pair costs). Pure functions
    on arrays; `models.tiring` learns the figures, the meta of material_scores carries them to the plan.
"""

from angelia.planning.later.fatigue import Fatigue, LaterCosts, later_costs

__all__ = ["Fatigue", "LaterCosts", "later_costs"]
