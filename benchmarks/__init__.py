"""Benchmarks: each module without a leading underscore is one.

It has `main(argv) -> dict`; `python -m benchmarks NAME` prints the result as a JSON line.
"""
