"""`angelia effects uplift`: learn who is moved by messages; keep the model or a list."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any

import numpy as np
import typer

from angelia.audience.lists import put_ordinals
from angelia.commands.effects.mart import connected
from angelia.commands.report import Conversion, DayCap, FirstDay, LastDay, require_cap, require_conversion
from angelia.config import load_settings
from angelia.contracts.sources import NAME
from angelia.errors import GateClosed, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, days_between, emit
from angelia.users.index import require_index
from models.registry import Registry
from models.uplift.kept import keep as keep_model
from models.uplift.learning import Uplift, UpliftReadOut, train
from models.uplift.people import (
    COLUMNS,
    KEPT,
    METRICS,
    ComparedPeople,
    encode,
    may_be_told,
    messages_per_person,
    read_people,
    top_of,
)


def uplift(
    first: FirstDay,
    last: LastDay,
    scope: Annotated[str, typer.Option("--scope", help="A campaign with a holdout, or all.")] = "all",
    metric: Annotated[str, typer.Option("--metric", help=f"One of {', '.join(METRICS)}.")] = "converted",
    name: Annotated[
        str | None, typer.Option("--list", help="Keep the people who are moved most as this list.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", min=1, help="How many people the list has.")] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            help="Keep the model under this name, for campaigns; uplift_score fills that audience field.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split and of the trees.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Keep list and model even if their order may be due to chance.")
    ] = False,
    conversion: Conversion = "purchase",
    cap: DayCap = None,
    as_json: JsonFlag = False,
) -> None:
    """Learn what messages change by person, from a holdout, and judge it on people kept aside.

    List and model are kept only if the Qini's interval is above zero, or with --force. An audience names the
    list by in_list('NAME'), a campaign the model by `uplift: {model: NAME, value: 12.5}`.
    """
    _require(scope, metric, name, size, keep, conversion, cap)
    settings, lake = load_settings(), open_lake()
    with connected() as connection:
        people = read_people(
            connection,
            lake,
            days_between(first, last),
            scope=scope,
            metric=metric,
            lead_hours=settings.lead_hours,
            conversion=conversion,
            cap=cap,
        )
        messages = messages_per_person(connection, lake, people.nights, scope)
    model, read_out = train(
        people.matrix,
        people.treated,
        people.outcome,
        share=people.share,
        names=KEPT,
        categorical=people.categorical,
        seed=seed,
    )
    above_chance = read_out.ranking.low > 0
    facts = {
        "scope": scope,
        "metric": metric,
        "nights": list(people.nights),
        "left_out": dict(people.left_out),
        "messages_per_person": messages,
        "above_chance": above_chance,
        **dataclasses.asdict(read_out),
    }
    kept: Commit | None = None
    version: str | None = None
    if name is not None and size is not None and (above_chance or force):
        kept = _keep(lake, people, model, name, size, facts)
    if keep is not None and (above_chance or force):
        store = Registry.configured(settings).store
        version = keep_model(store, keep, model, people.vocabulary, messages, facts)
    result = facts | {"list": name if kept else None, "commit": kept.ref if kept else None, "model": version}
    emit(result, _lines(facts, read_out, kept, name, version), as_json)
    # After the figures: they are what the operator decides by whether to give --force.
    if (name is not None and kept is None) or (keep is not None and version is None):
        raise GateClosed(
            "the order of the people may be chance: the Qini's interval holds zero; nothing was kept",
            fix="name more nights or a larger holdout, or give --force",
        )


def _require(
    scope: str,
    metric: str,
    name: str | None,
    size: int | None,
    keep: str | None,
    conversion: str,
    cap: float | None,
) -> None:
    require_conversion(conversion)
    if metric not in METRICS:
        raise InvalidInput(f"--metric is not one of {', '.join(METRICS)}", fix="choose one of them")
    for option, value in (("--scope", scope), ("--list", name), ("--keep", keep)):
        if value is not None and not re.fullmatch(NAME, value):
            raise InvalidInput(f"{option} is not a name", fix="lower-case letters, digits and _")
    if (name is None) != (size is None):
        raise InvalidInput("--list and --size go together", fix="give both, or neither")
    require_cap(cap)


def _keep(
    lake: Lake, people: ComparedPeople, model: Uplift, name: str, size: int, facts: dict[str, Any]
) -> Commit:
    """Score everybody by the newest features of the span's end or later, and keep the highest."""
    newest = max(leaf["ds"] for leaf in lake.partitions("user_features"))
    features = lake.require("user_features", ds=newest)
    ordinals, scores = [], []
    for entry in features.files:  # file by file: not everybody's features need fit in memory
        rows = may_be_told(lake.read_file(entry, list(COLUMNS)))
        ordinals.append(rows["ordinal"].to_numpy())
        scores.append(model.score(encode(rows, people.vocabulary)))
    who = np.concatenate(ordinals) if ordinals else np.zeros(0, np.uint32)
    if size > len(who):
        raise NotFound(f"only {len(who):,} people may be told", fix="give a smaller --size")
    chosen = top_of(who, np.concatenate(scores), size).astype(np.uint32)
    index = require_index(lake)
    return put_ordinals(
        lake, name, chosen, index, inputs=[index, features, people.features], meta={"uplift": facts}
    )


def _lines(
    facts: dict[str, Any],
    read_out: UpliftReadOut,
    kept: Commit | None,
    name: str | None,
    version: str | None,
) -> list[str]:
    ranking = read_out.ranking
    lines = [
        f"{facts['metric']} of {facts['scope']}, {len(facts['nights'])} nights: learnt from "
        f"{read_out.n_trained:,} people, judged on {read_out.n_held:,} "
        f"({read_out.n_held_control:,} of them held out)",
        f"Qini {ranking.qini:+.5f} a person, 95 % [{ranking.low:+.5f}, {ranking.high:+.5f}]: "
        + ("above chance" if facts["above_chance"] else "may be chance"),
        "tenth      predicted   realised   95 %",
    ]
    lines += [
        f"{i:>5} {row.predicted:>+13.4f} {row.realised:>+10.4f}   [{row.low:+.4f}, {row.high:+.4f}]"
        for i, row in enumerate(read_out.deciles, 1)
    ]
    lines += [f"left out: {n:,} {reason}" for reason, n in facts["left_out"].items()]
    if kept is not None:
        lines.append(f"{name}: {kept.meta['n_users']:,} people; use it as in_list('{name}')")
    if version is not None:
        lines.append(
            f"model {version}, for {facts['messages_per_person']:.2f} messages a person; a campaign counts "
            f"its lift by uplift: {{model: {version.split('/')[0]}, value: WORTH}}"
        )
    return lines
