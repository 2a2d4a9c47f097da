"""A model decides in small simulated shops before it is promoted.

The champion and the usual product decide beside it. Reads the model registry and the sample campaigns; runs
its nights in temporary folders with the jobs' own functions, on one shard and without Spark; keeps nothing.
Enter at `rehearse.rehearse`. The benchmark `uplift` runs more nights in the same shop. Surprise: the shop is
simulated and its truth is known, so opens are counted by probability, and two small worlds are enough to tell
a few per cent apart; a model trained on another catalog cannot act there (`rehearse.knows`).
"""
