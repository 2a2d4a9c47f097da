"""Make the small home that all browser tests share: a night under way, and questions.

Run by the project's own interpreter (`python tests/browser/home.py FOLDER`), prints what the tests need as
JSON. No scheduler and no Spark: a plan of made-up messages, half of them sent, and rows in Airflow's
database as a scheduler leaves them.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from angelia.commands.loop import PROJECT, environment
from tests.browser import population

NOW = datetime.now(UTC)
TONIGHT = (NOW - timedelta(days=1)).date().isoformat()
SLOW = (NOW - timedelta(days=2)).date().isoformat()  # a night whose messages are sent while a test watches
USERS = {"vera": "viewer", "olaf": "user", "ada": "admin"}
HOSTILE = "<script>window.hit=1</script><img src=x onerror=window.hit=1>\"'&{{ 7*7 }}"
PLUGIN = "from angelia.console.plugin import ConsolePlugin  # noqa: F401\n"
BODY = f"""12,345 messages, 7 nights.

- **volume** (night): 12,345 messages planned, 1,200 is usual {HOSTILE}
- **price_drop** (campaign): asks for approval

Verdict **3f9a0c1d2e4b** on `decisions/ds={TONIGHT}@1`: an answer counts for this verdict alone.

| | this version | base rate |
|---|---|---|
| log loss | 0.20000 | 0.30000 |

Answer by 2030-01-01 03:30 UTC; no answer counts as **Reject**. Whoever may edit may answer."""


def documents(folder: Path) -> Path:
    """Write a campaign whose every text is hostile; return its file."""
    sale = {
        "kind": "campaign", "id": "hostile", "name": HOSTILE, "topic": "promo", "owner": HOSTILE,
        "audience": "promo_allowed", "materials": ["hostile"], "channels": ["fcm"], "value_per_open": 0.05,
        "occurrence": {"every": "daily"}, "start_date": "2026-01-01", "end_date": "2099-12-31",
    }  # fmt: skip
    words = {"title": HOSTILE.partition("{{")[0], "body": "{{ item }}"}
    template = {"kind": "template", "id": "hostile", "channels": ["fcm"], "variables": {"item": {}}}
    template |= {"variants": {"en": words}}
    material = {"kind": "material", "id": "hostile", "template": "hostile", "fields": {"item": HOSTILE}}
    path = folder / "hostile.yaml"
    path.write_text("\n---\n".join(map(json.dumps, (sale, template, material))))
    return path


def catalog(home: Path) -> None:
    """Apply the sample catalog and the hostile campaign."""
    from angelia.catalog import apply
    from angelia.catalog.store import CatalogStore
    from angelia.config import load_settings

    store = CatalogStore.open(load_settings().catalog_url())
    planned = apply.plan(store, [PROJECT / "campaigns", documents(home)])
    apply.carry_out(store, planned, actor=HOSTILE, at=NOW)


def nights() -> None:
    """Publish tonight's plan, half sent, and a slow night that is due now."""
    from angelia.delivery.ledger import outcomes
    from angelia.delivery.ledger.ledger import Ledger, Owner
    from angelia.delivery.manifest import parts, sample_plan
    from angelia.lake.configured import open_lake

    lake, names = open_lake(), ("price_drop", "win_back", "weekly_digest")
    mixed = {"campaign_id": lambda number: names[number % 3]}
    commit = sample_plan.make(lake, TONIGHT, 2_400, hours=range(4, 28), changes=mixed)
    at = int(NOW.timestamp() * 1e6)
    ledger = Ledger(lake.store, Owner.this_process(), lambda: at)
    for part in parts.parts_of(lake, commit, f"{NOW:%Y-%m-%d}T04"):
        batch = outcomes.Outcomes(range(part.n_rows))
        batch.outcome = ["accepted"] * (part.n_rows - 3) + ["rejected", "skipped", "ambiguous"]
        batch.at = batch.sent = [at] * part.n_rows
        claim = ledger.claim(part)
        assert claim is not None
        ledger.intend(claim, 0, part.n_rows, part.n_rows, at)
        ledger.conclude(claim, 0, batch.to_bytes())
        ledger.finish(part.id, {})
    sample_plan.make(lake, SLOW, 6_000, hours=(24 + NOW.hour,), quota_per_minute=600)


def plan() -> None:
    """Publish what the night decided, and the guard's verdict on it: one campaign is held back."""
    from angelia.contracts.certificate import Limit, Messages, messages_meta
    from angelia.contracts.rows import valid_rows
    from angelia.lake import numbered
    from angelia.lake.configured import open_lake
    from angelia.planning.verdict import TOPIC, identified

    lake, start = open_lake(), f"{NOW:%Y-%m-%d}T04:00:00+00:00"
    meta = {
        "outcomes": {"sent": 2_400, "capped": 31_000, "no_capacity": 120, "holdout_global": 96},
        "primal_micros": 1_365_470_000, "bound_micros": 1_387_860_000, "gap_pct": 1.6132, "n_explore": 31,
        "constraints": [Limit(100, 100, 12_300, channel="fcm", slot=f"{NOW:%Y-%m-%d}T20").as_meta()],
        "start": start, "hours_passed": 0, "by_campaign": {"win_back": 800}, "by_hour": {},
        "messages": messages_meta([Messages(f"{NOW:%Y-%m-%d}T20", "fcm", "win_back", 800)]),
    }  # fmt: skip
    with lake.attempt("decisions", ds=TONIGHT) as attempt:
        attempt.write(valid_rows("decisions", 40), "part-0000.parquet")
        decisions = attempt.publish(meta=meta)
    breach = {"check": "approval_required", "severity": "campaign", "campaigns": ["win_back"]}
    verdict = {
        "decisions": decisions.citation(), "verdict": "campaigns", "held": ["win_back"], "missing": [],
        "breaches": [{**breach, "says": f"win_back asks for approval: 800 messages planned {HOSTILE}"}],
    }  # fmt: skip
    numbered.store(lake, TOPIC, TONIGHT, identified(verdict))


def run(*words: str) -> None:
    """Run one of Airflow's commands here: another process would import Airflow anew."""
    from airflow.cli.cli_parser import get_parser

    args = get_parser().parse_args(words)
    args.func(args)


def airflow() -> None:
    """Leave what a scheduler leaves: two questions that wait, and a task that failed."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    questions = (
        ("nightly_personalization", "ask_night", f"Send the night of {TONIGHT} all the same? {HOSTILE}"),
        ("weekly_retrain", "approve", "Promote model 2026-11-14-0123?"),
    )
    for dag, task, subject in questions:
        run = trigger_dag(dag_id=dag, triggered_by=DagRunTriggeredByType.CLI, run_id=f"browser_{task}")
        with create_session() as session:
            where = (TaskInstance.dag_id == dag, TaskInstance.run_id == run.run_id)
            instance = session.scalar(select(TaskInstance).where(*where, TaskInstance.task_id == task))
            instance.state = "awaiting_input"
            about = {"value": "3f9a0c1d2e4b", "description": "about", "schema": {"type": "string"}}
            session.add(
                HITLDetail(
                    ti_id=instance.id, options=["Approve", "Reject"], subject=subject, body=BODY,
                    defaults=["Reject"], multiple=False, params={"about": about}, assignees=[],
                )
            )  # fmt: skip
    with create_session() as session:
        where = (TaskInstance.dag_id == "nightly_personalization", TaskInstance.task_id == "check_sources")
        for instance in session.scalars(select(TaskInstance).where(*where)):
            instance.state, instance.start_date, instance.end_date = "failed", NOW, NOW


def logs(home: Path) -> None:
    """Leave the line of a step that failed."""
    line = {
        "ts": NOW.isoformat(), "event": "step", "step": "quality check", "ds": TONIGHT, "branch": "main",
        "result": "error", "error": f"gate sources of {TONIGHT} is closed; see the rows: {HOSTILE}",
        "words": f"--gate sources --ds {TONIGHT}",
        "airflow": {"dag": "nightly_personalization", "task": "check_sources", "run": "x", "try": "1"},
    }  # fmt: skip
    (home / "logs" / "angelia.jsonl").open("a").write(json.dumps(line) + "\n")


def main(home: Path) -> None:
    """Make it."""
    os.environ.update(environment(home))
    (home / "logs").mkdir(parents=True)
    (home / "airflow" / "plugins").mkdir(parents=True)
    (home / "airflow" / "plugins" / "angelia_console.py").write_text(PLUGIN)
    passwords = home / "airflow" / "passwords.json"
    passwords.write_text(json.dumps({name: f"{name}-secret" for name in USERS}))
    run("db", "migrate")
    run("dags", "reserialize")
    catalog(home)
    nights()
    plan()
    people = population.populate()
    logs(home)
    airflow()
    env = environment(home) | {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    print(
        json.dumps({"env": env, "tonight": TONIGHT, "slow": SLOW, "people": people, "python": sys.executable})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
