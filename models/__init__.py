"""The p(open) model's life: dataset, training, evaluation, registry, promotion, scoring."""

import os

import angelia  # noqa: F401  takes Ctrl-C before the heavy imports

# BLAS reads it when NumPy is first loaded. Its threads wait for each other by spinning: on two busy cores the
# many small products of a fit took three times the processor time, and longer. What is worth threads here
# (LightGBM) has its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
