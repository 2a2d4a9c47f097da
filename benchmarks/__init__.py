"""Benchmarks: each module without a leading underscore is one, and has `main(argv) -> dict`; `python -m
benchmarks NAME` prints it as a JSON line.
"""
