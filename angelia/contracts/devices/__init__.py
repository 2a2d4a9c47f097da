"""Contracts of devices: people's addresses, what clients say of them, and reach.

Enter at `endpoints.OF_DEVICES`, which `contracts` takes over. Reads and writes nothing.
"""
