"""Remove a person from every file of every branch, leaving a tombstone in their place.

Public face: `erase.erase`; `journal` remembers what a killed erasure had begun, `rows` knows one file.
"""
