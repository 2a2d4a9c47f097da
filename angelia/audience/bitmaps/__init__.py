"""Sets of people: roaring and packed words by block, how they are built, stored and combined.

Public face: `build.py` (shard to blobs), `block.py` (what a query reads), `sets.py` (algebra). Reads features
    and days; writes the bitmap index.
"""
