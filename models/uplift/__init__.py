"""Who is moved by messages: a model of lift by person, learnt from holdouts.

Reads a night's plan, features and what people did; writes a list of people that audiences may name, and
models that campaigns may name. Enter at `learning.train` (arrays), `people.read_people` (a lake) and `kept`.
"""
