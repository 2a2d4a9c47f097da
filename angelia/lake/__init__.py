"""Partitions and commits on local disk or S3: readers see whole commits or nothing.

Public face: `Lake.open(url, branch)`, its `head / require / read / attempt`, `Commit`, `FileEntry`. Writers
write, audit and publish (`attempt`).
"""

from angelia.lake.attempt import Attempt
from angelia.lake.commit import Commit, FileEntry
from angelia.lake.lake import Lake

__all__ = ["Attempt", "Commit", "FileEntry", "Lake"]
