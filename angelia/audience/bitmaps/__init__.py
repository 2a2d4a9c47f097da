"""Sets of people as roaring or packed words by block: built, stored and combined.

Public face: `build` (shards to blobs), `index` and `block` (what a query reads), `sets` (algebra). Reads
features and days; writes the bitmap index.
"""
