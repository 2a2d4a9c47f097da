"""A simulated population with a known truth: sources to plan with, answers to what was delivered.

Public face: `truth.World`, `truth.open_probability`, `truth.felt_pushes`; commands `angelia world create` and
    `angelia world respond`.
"""
