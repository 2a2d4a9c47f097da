"""A person leaves every file of every branch: found, put under a tombstone, and the old bytes deleted.

Public face: `erase.erase`; `journal` remembers what a killed erasure had begun, `rows` knows one file.
"""
