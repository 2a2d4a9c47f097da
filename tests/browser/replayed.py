"""Decide a night again on its branch by the replay's own parts, without manifests.

Run by the project's own interpreter: `python tests/browser/replayed.py DS CHANGES`.
"""

from __future__ import annotations

import sys

from angelia.catalog.snapshot import read_snapshot, write_snapshot
from angelia.lake import numbered
from angelia.lake.citing import input_of
from angelia.lake.configured import open_lake
from angelia.planning import replay
from spark_jobs import plan_dispatch


def main(ds: str, text: str) -> None:
    """Do it."""
    main, changes = open_lake(), replay.parse_changes(text)
    branch = open_lake(replay.branch_for([ds], changes))
    catalog = read_snapshot(main, input_of(main, main.require("decisions", ds=ds), "catalog_snapshot"))
    documents = replay._Documents(replay.changed(catalog, changes))
    write_snapshot(branch, documents, ds, stopped=catalog.stopped)
    plan_dispatch.main(["--ds", ds, "--branch", branch.branch])
    numbered.store(branch, replay.COMPARED, ds, replay.compare(main, branch, ds))


if __name__ == "__main__":
    main(*sys.argv[1:])
