"""A simulated population with a known truth: it writes sources and answers deliveries.

Public face: `truth.World`, `truth.open_probability`, `truth.felt_pushes`; commands `angelia world create` and
`angelia world respond`.
"""
