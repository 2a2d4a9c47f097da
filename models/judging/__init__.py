"""Judge a version: what is measured of it, and the bars it has to clear to be promoted.

Reads examples, the registry's champion and a version's metrics; writes verdicts of
rehearsals. Enter by `evaluate`
(evaluation.py) in training and by `objections` (bars.py) before a promotion. `rehearsed` keeps what a version
decided in a simulated shop, and the bar for that.
"""

from models.judging.bars import BARS, objections
from models.judging.evaluation import evaluate

__all__ = ["BARS", "evaluate", "objections"]
