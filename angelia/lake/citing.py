"""The commits that a commit was made from."""

from __future__ import annotations

from angelia.contracts import dataset
from angelia.errors import NotFound
from angelia.lake.commit import Commit
from angelia.lake.lake import Lake


def input_of(lake: Lake, commit: Commit, name: str) -> Commit:
    """Return the commit of a dataset that another was made from.

    Raises:
        NotFound: it cites none; the fix names who writes it.
        Corrupt: the commit's content is not what was cited.
    """
    for citation in commit.inputs:
        if citation.partition("/")[0].rpartition(":")[2] == name:
            return lake.cited(citation)
    where = " ".join(f"--{key} {value}" for key, value in commit.partition.items())
    raise NotFound(
        f"{commit.ref} does not say which {name} it was made from",
        fix=f"make it again ({' or '.join(dataset(commit.dataset).written_by)} {where}), and all after it",
    )
