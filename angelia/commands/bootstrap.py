"""`angelia bootstrap`: the first features and the first model, before the first night.

It aggregates the history at hand in one go, trains the first model on it, and promotes that model as
`bootstrap`. Reads the source datasets up to ds and the catalog; writes user_index, catalog_snapshot,
user_days, user_pushes, user_features and send_times of the training cut-off, and the model registry.
Surprise: where a person has promoted a model, it trains one and promotes none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from angelia.catalog.snapshot import write_snapshot
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit, run_module
from angelia.users.index import require_index
from models.dataset import LEAST
from models.registry import Champion, Registry

FIRST = "bootstrap"  # who promotes the first model
USUAL_RATE = 0.05  # opens per push before anything is known of a shop


def _pushes(lake: Lake, cutoff: str, ds: str) -> list[Commit | None]:
    days = [part["ds"] for part in lake.partitions("user_pushes") if cutoff < part["ds"] <= ds]
    return [lake.head("user_pushes", ds=day) for day in days]


def command(
    ds: DsOption,
    train_days: Annotated[
        int,
        typer.Option(
            min=2,
            max=90,
            help="Days of pushes to train on; features are as of the day before them.",
        ),
    ] = 21,
    as_json: JsonFlag = False,
) -> None:
    """Build the first features and the first model: `angelia bootstrap --ds 2026-11-14`."""
    settings = load_settings()
    if settings.branch != "main":
        raise InvalidInput("bootstrap writes to main only", fix="unset ANGELIA_BRANCH")
    lake = open_lake("main", settings)
    lake.require("user_profiles", ds=ds)
    last = date.fromisoformat(ds)
    cutoff = (last - timedelta(days=train_days)).isoformat()
    days = [
        part["ds"]
        for name in ("user_events", "push_history")
        for part in lake.partitions(name)
        if part["ds"] <= ds
    ]
    if not days:
        raise InvalidInput(
            f"no user_events and no push_history up to {ds}",
            fix="run `angelia world create` or `angelia import` first",
        )
    n_days = (last - date.fromisoformat(min(days))).days + 1
    # Before the model: it learns what materials are about from the catalog.
    if lake.head("catalog_snapshot", ds=ds) is None:
        write_snapshot(lake, CatalogStore.open(settings.catalog_url()), ds)
    jobs = [
        *("index_users", "--ds", ds, "+"),
        *("aggregate_days", "--ds", ds, "--days", str(n_days), "+"),
        *("build_features", "--ds", cutoff, "+"),
        *("build_send_times", "--ds", cutoff),
    ]
    run_module(["spark_jobs", *jobs])
    # A shop that hardly pushed has nothing to train on, so its first nights use a prior.
    how = (
        ["--cutoff", cutoff]
        if _can_be_learned_from(lake, _pushes(lake, cutoff, ds), ds)
        else ["--prior", str(USUAL_RATE)]
    )
    trained = json.loads(run_module(["models.train", "--ds", ds, *how, "--json"]).strip().splitlines()[-1])
    # The first model has no champion to beat: it is promoted as `bootstrap`, on record, without approval.
    # What a person has promoted since is theirs to replace.
    chosen = _chosen_by_a_person(Registry.configured(settings), trained["version"])
    if chosen is None:
        words = ["--by", FIRST, "--reason", f"first model, trained on the history up to {ds}", "--force"]
        run_module(["models.promote", "--version", trained["version"], *words, "--json"])
    index = require_index(lake)
    result: dict[str, Any] = {"ds": ds, "cutoff": cutoff, "days": n_days, "users": int(index.meta["n_users"])}
    result |= {"model": trained["version"], "auc": trained["metrics"].get("test", {}).get("auc")}
    result["promoted"] = chosen is None
    lines = [
        f"{result['users']} users indexed, {n_days} days aggregated, {trained['version']} trained"
        + (" and promoted" if chosen is None else "")
    ]
    if chosen is not None:
        lines.append(
            f"not promoted: {chosen.actor} chose {chosen.version}; `python -m models.promote --version "
            f"{trained['version']} --by NAME --reason WHY` compares the two"
        )
    emit(result, lines, as_json)


def _can_be_learned_from(lake: Lake, pushes: Sequence[Commit | None], ds: str) -> bool:
    """Return whether there are as many mature pushes as training asks for."""
    # Of the last day's pushes nobody knows yet whether they are opened.
    n, end = 0, datetime.fromisoformat(ds).replace(tzinfo=UTC)
    for commit in filter(None, pushes):
        rows = lake.read(commit, ["kind", "sent_ts"])
        mature = pc.less(rows["sent_ts"], pa.scalar(end, rows["sent_ts"].type))
        n += int(pc.sum(pc.and_(pc.equal(rows["kind"], "sent"), mature)).as_py() or 0)
        if n >= LEAST:
            return True
    return False


def _chosen_by_a_person(registry: Registry, version: str) -> Champion | None:
    """Return the champion if a person chose it and it is another version."""
    champion = registry.champion()
    return None if champion is None or champion.actor == FIRST or champion.version == version else champion
