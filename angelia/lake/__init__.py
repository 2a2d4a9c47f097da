"""Partitions and commits on local disk or S3: write, audit, publish. Readers see whole commits or nothing.

Public face: `Lake.open(url, branch)`, its `head / require / read / attempt`, `Commit`, `FileEntry`.
"""

from angelia.lake.attempt import Attempt
from angelia.lake.commit import Commit, FileEntry
from angelia.lake.lake import Lake

__all__ = ["Attempt", "Commit", "FileEntry", "Lake"]
