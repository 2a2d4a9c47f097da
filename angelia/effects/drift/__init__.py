"""How far features and scores of a night have moved from another's.

Reads user_features and material_scores; writes nothing. Enter at `stability.compare_nights`.
"""
