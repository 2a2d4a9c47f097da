"""Judge a version: what is measured of it, and the bars it has to clear to be promoted.

Reads examples, the registry's champion and a version's metrics; writes nothing. Enter by `evaluate`
(evaluation.py) in training and by `objections` (bars.py) before a promotion.
"""

from models.judging.bars import BARS, objections
from models.judging.evaluation import evaluate

__all__ = ["BARS", "evaluate", "objections"]
