"""Datasets of a task's OpenLineage events, by the commits they were made from.

Public face: `commits_of(lake, names, ds)`, what a task wrote and what that was made from. Reads the lake;
    writes nothing. Airflow's OpenLineage provider, where it is installed, loads `extractor.LakeExtractor`.
"""

from angelia.lineage.commits import commits_of

__all__ = ["commits_of"]
