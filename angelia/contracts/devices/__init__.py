"""Contracts of devices: people's addresses, clients' words on them, and how many are reached.

Enter at `endpoints.OF_DEVICES`, which `contracts` takes over. Reads and writes nothing.
"""
