"""Decide one night of a simulated shop: the jobs without an exchange, then a policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from angelia.contracts.derived import CURVE
from angelia.rehearsal.policies import POLICIES, PolicyView
from angelia.rehearsal.push_log import Sent
from angelia.rehearsal.site import Site
from spark_jobs import build_bitmaps, build_send_times, score_materials, select_audiences


def decide(
    site: Site,
    ds: str,
    policy: str,
    volume: int | None = None,
    *,
    curves: bool = True,
    model: str = "",
    refusal_opens: float | None = None,
    refusals_at_most: float | None = None,
    ready: bool = False,
) -> Sent:
    """Return a policy's messages of a night whose features and catalog are written.

    Args:
        site: the shop.
        ds: the night.
        policy: a name of `POLICIES`.
        volume: at most so many messages, for policies that take it.
        curves: build response curves; policies that do not look at them get flat ones, in no time.
        model: score with this version instead of the shop's champion.
        refusal_opens: what a refusal costs, instead of what the catalog's policy says.
        refusals_at_most: a message, over those of the usual way, instead of what the policy says.
        ready: `run_jobs` has run, curves and all.
    """
    if not ready:
        run_jobs(site, ds, curves=curves, model=model)
    if not curves:
        flat_curves(site, ds)
    view = PolicyView.of(site, ds)
    # Changed in the view alone, so that the shop's own catalog stays as it is.
    if refusal_opens is not None:
        view = replace(view, terms=replace(view.terms, refusal_opens=refusal_opens))
    if refusals_at_most is not None:
        view = replace(view, terms=replace(view.terms, refusals_at_most=refusals_at_most))
    return POLICIES[policy](view, volume)


def run_jobs(site: Site, ds: str, *, curves: bool = True, model: str = "") -> None:
    """Run the jobs before the plan of a night."""
    with site.here():
        for job in (build_bitmaps, select_audiences):
            job.main(["--ds", ds])
        score_materials.main(["--ds", ds, *(["--model", model] if model else [])])
        if curves:
            build_send_times.main(["--ds", ds])


def flat_curves(site: Site, ds: str) -> None:
    """Write curves that say nothing, for policies that do not look at them."""
    n = len(site.person)
    even = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(24 * n, np.float32)), 24).cast(CURVE)
    zones = site.lake.read(site.lake.require("user_features", ds=ds), ["ordinal", "timezone"]).sort_by(
        "ordinal"
    )
    table = {
        "ordinal": zones["ordinal"],
        "timezone": zones["timezone"],
        "workday": even,
        "day_off": even,
        "cluster": pa.nulls(n, pa.int16()),
        "evidence": pa.array(np.zeros(n, np.float32)),
    }
    site.publish("send_times", ds, pa.table(table))
