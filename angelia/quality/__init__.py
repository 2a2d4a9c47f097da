"""Gates: contract-derived checks and invariants over commits, and their verdicts.

Public face: `measure(lake, dataset, ds)`, `run_gate(lake, gate, ds)`, `require_open(gate, ds, verdicts)`,
`verdicts(lake, ds)`.
"""

from angelia.quality.gates import GATES, measure, run_gate, verdicts
from angelia.quality.verdicts import CheckVerdict, require_open

__all__ = ["GATES", "CheckVerdict", "measure", "require_open", "run_gate", "verdicts"]
