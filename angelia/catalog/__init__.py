"""What operators decide: campaigns, audiences, materials, templates, channels, experiments.

Public face: `apply.py` (documents into the store), `snapshot.Catalog` (as a night reads it), `preview.py`.
    Writes `catalog_snapshot` and `stops`.
"""
