"""A model decides in small simulated shops before it is promoted.

Beside it decide the champion and the usual product. Reads the model registry and the sample campaigns; lives
its nights in folders that go away, by the jobs' own functions on one shard, without Spark; writes nothing
that stays. Enter by `rehearse.rehearse`. The benchmark `uplift` lives longer nights in the same shop.
Surprise: the shop is simulated and its truth is known, so opens are counted by probability and two small
worlds tell a few per cent apart; a model of another catalog cannot act there (`rehearse.knows`).
"""
