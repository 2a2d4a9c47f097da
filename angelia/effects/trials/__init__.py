"""Experiments that were run elsewhere, read out like a holdout.

Reads `experiment_assignments` and `user_events`; writes nothing. Enter at `imported.read_experiment`.
"""
