"""Contracts of devices: people's addresses, clients' words on them, and reach.

Enter at `endpoints.OF_DEVICES`, which `contracts` takes over. Reads and writes nothing.
"""
