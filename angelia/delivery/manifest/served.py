"""What a night's manifests were made from: the plan that is sent.

Grain: night. Reads commits; writes nothing. Surprise: a plan that was made again and never emitted is the
newest plan, and nobody is sent it.
"""

from __future__ import annotations

from angelia.errors import AngeliaError, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.citing import input_of


def served(lake: Lake, name: str, ds: str) -> Commit | None:
    """Return the commit of a day that the night's manifests, or their plan, were made from.

    It is the newest where there are no manifests yet, or where neither names one whose files still stand.
    """
    manifest = lake.head("dispatch_manifest", ds=ds)
    if name == "dispatch_manifest":
        return manifest
    for commit in (manifest, _input(lake, manifest, "decisions")):
        made_from = _input(lake, commit, name)
        if made_from is not None:
            return made_from
    return lake.head(name, ds=ds)


def require_manifest(lake: Lake, ds: str) -> Commit:
    """Return the newest manifest of a night.

    Raises:
        NotFound: it has none; the fix says what lacks, or which nights have one.
    """
    commit = lake.head("dispatch_manifest", ds=ds)
    if commit is not None:
        return commit
    if lake.head("decisions", ds=ds) is not None:
        raise NotFound(f"the plan of {ds} has no manifests", fix="emit_manifests writes them; run it first")
    nights = [leaf["ds"] for leaf in lake.partitions("dispatch_manifest")]
    have = (
        f"the last nights with manifests are {', '.join(nights[-3:])}" if nights else "no night has any yet"
    )
    raise NotFound(
        f"{ds} has no plan to send", fix=f"run nightly_personalization of that day, or name another: {have}"
    )


def _input(lake: Lake, commit: Commit | None, name: str) -> Commit | None:
    """Return what a commit was made from, if its files still stand."""
    try:
        made_from = None if commit is None else input_of(lake, commit, name)
    except AngeliaError:
        return None
    is_there = made_from and made_from.number in lake.numbers(made_from.branch, name, made_from.partition)
    return made_from if is_there else None
