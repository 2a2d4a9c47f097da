"""Contracts of the intake: messages asked for one by one, their steps, and how it is used.

Enter at `asked.OF_INTAKE`, which `contracts.derived` takes over. Reads and writes nothing.
"""
