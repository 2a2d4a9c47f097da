"""Every form as it opens: its values are valid, and its commands parse without a date.

Each rendered command is read by its own parser.
"""

import copy
import importlib
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

DAG_IDS = (
    "audience_lookalike",
    "nightly_personalization",
    "hourly_dispatch",
    "intake_dispatch",
    "event_triggers",
    "daily_effects",
    "weekly_retrain",
    "campaign_backfill",
    "plan_whatif",
    "effects_over",
)
DUE = datetime(2026, 11, 15, 2, tzinfo=UTC)
YESTERDAY = "2026-11-14"
PROJECT = Path(__file__).resolve().parents[2]
APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "ada"}}
ANSWERS = {
    "train": {
        "version": "2026-11-14-0123",
        "metrics": {"test": dict.fromkeys(("logloss", "logloss_base_rate", "auc", "calibration_error"), 0.5)},
    },
    "approve": APPROVED | {"params_input": {"about": "2026-11-14-0123"}},
    "approve_resend": APPROVED | {"params_input": {"about": "17-0123456789abcdef"}},
    "plan_guard": {
        "verdict": "night",
        "held": [],
        "breaches": [],
        "history": "7 nights",
        "figures": {"messages": {"digest": 5}},
        "verdict_id": "3f9a0c1d2e4b",
        "decisions": "decisions/ds=2026-11-14@1#0123456789abcdef",
    },
    "count_resend": {
        "resent": 3,
        "parts": 1,
        "campaigns": {},
        "days": [YESTERDAY],
        "no_plan": [],
        "hash": "17-0123456789abcdef",
    },
}


def context_of(task, *, conf=None, logical_date=None):
    """Return the context that Airflow's task runner gives a task of a run triggered by hand.

    The run has no date unless one is given.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    task = copy.deepcopy(task.dag).get_task(
        task.task_id
    )  # a run's own values are written into the DAG's form
    names = {"dag_id": task.dag.dag_id, "run_id": "manual__1"}
    run = DagRun(
        **names,
        logical_date=logical_date,
        data_interval_start=logical_date,
        data_interval_end=logical_date and DUE,
        run_after=DUE,
        start_date=DUE,
        end_date=None,
        run_type="manual",
        state="running",
        conf=conf or {},
        consumed_asset_events=[],
        partition_key=None,
    )
    instance = RuntimeTaskInstance.model_construct(
        id=uuid4(),
        task_id=task.task_id,
        try_number=1,
        dag_version_id=uuid4(),
        map_index=-1,
        task=task,
        max_tries=2,
        **names,
    )
    instance._ti_context_from_server = TIRunContext(dag_run=run, max_tries=2)
    context = {**instance.get_template_context(), **(task.dag.user_defined_macros or {})}
    return {**context, "ti": SimpleNamespace(xcom_pull=lambda task_ids: ANSWERS.get(task_ids))}


def rendered(task, name, **how):
    """Return a task's template field, rendered by the DAG's own environment."""
    return task.render_template(getattr(task, name), context_of(task, **how), task.dag.get_template_env())


def parsed(words):
    """Let the program's own parser read the words; return what it found."""
    import typer

    from angelia.cli import build

    command, rest = typer.main.get_command(build([words[1]])), words[1:]
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    return command.make_context("angelia", rest).params


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_form_can_be_triggered_as_it_opens(dags, dag_id):
    """The form disables its button while a required field is empty.

    A field is required unless its type allows null.
    """
    dag = dags[dag_id]
    for name in dag.params:
        param = dag.params.get_param(name)
        value = param.resolve()
        assert value == param.value
        types = param.schema.get("type", [])
        if not value and not isinstance(value, bool | int | dict):
            assert value is None, f"{dag_id}.{name}: {value!r} counts as empty, and as required"
            assert "null" in types, f"{dag_id}.{name} is required, and empty"


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_run_without_a_date_renders_every_template(dags, dag_id):
    dag = dags[dag_id]
    for task in dag.tasks:
        if task.is_mapped:
            continue
        for name in task.template_fields:
            if name in {"argv", "branch", "application_args", "subject", "body", "about"}:
                conf = {"mode": "resend", "campaigns": ["price_drop"]} if "resend" in task.task_id else None
                text = json.dumps(rendered(task, name, conf=conf))
                assert "None" not in text, f"{dag_id}.{task.task_id}.{name}: {text}"
                assert "{{" not in text


def test_a_run_without_a_date_decides_the_last_closed_day(dags):
    from spark_jobs import JOBS

    dag = dags["nightly_personalization"]
    for job in JOBS:
        words = rendered(dag.get_task(job), "application_args")
        args = importlib.import_module(f"spark_jobs.{job}").arg_parser_for_job().parse_args(words)
        assert (args.ds, args.branch) == (YESTERDAY, "main")
    assert rendered(dag.get_task("plan_guard"), "argv")[3:5] == ["--ds", YESTERDAY]
    assert rendered(dag.get_task("ask_night"), "subject").startswith(f"Send the night of {YESTERDAY}")
    guard = {"verdict": "open", "held": [], "breaches": []}
    run = SimpleNamespace(run_type="manual", run_after=DUE)
    assert (
        dag.get_task("who_decides").python_callable(guard, {"ask": True, "mode": "auto"}, run, None)
        == "emit_manifests"
    )
    assert rendered(dags["weekly_retrain"].get_task("train"), "argv")[3:5] == ["--ds", YESTERDAY]
    for task in ("replay", "count_resend", "resend"):
        words = rendered(dags["campaign_backfill"].get_task(task), "argv", conf={"campaigns": ["price_drop"]})
        assert words[words.index("--from") :][:4] == ["--from", YESTERDAY, "--to", YESTERDAY]


def test_a_run_with_a_date_keeps_it(dags):
    day = datetime(2026, 11, 10, tzinfo=UTC)
    words = rendered(
        dags["nightly_personalization"].get_task("index_users"), "application_args", logical_date=day
    )
    assert words[words.index("--ds") + 1] == "2026-11-10"
    words = rendered(
        dags["weekly_retrain"].get_task("train"), "argv", logical_date=day, conf={"ds": "2026-11-01"}
    )
    assert words[words.index("--ds") + 1] == "2026-11-01"


@pytest.mark.parametrize(
    ("dag_id", "task_id", "conf"),
    [
        ("nightly_personalization", "check_sources", {}),
        ("nightly_personalization", "snapshot_catalog", {}),
        ("nightly_personalization", "plan_guard", {}),
        ("hourly_dispatch", "due_parts", {}),
        ("hourly_dispatch", "due_parts", {"now": "2026-11-15T04:30:00Z"}),
        ("campaign_backfill", "replay", {}),
        ("campaign_backfill", "count_resend", {"mode": "resend", "campaigns": ["price_drop", "win_back"]}),
        (
            "campaign_backfill",
            "resend",
            {"mode": "resend", "campaigns": ["price_drop"], "now": "2026-11-15T04:30:00Z"},
        ),
    ],
)
def test_the_commands_own_parser_takes_a_form_as_it_opens(dags, dag_id, task_id, conf):
    words = rendered(dags[dag_id].get_task(task_id), "argv", conf=conf)
    assert all(isinstance(word, str) for word in words)
    parsed_form = parsed(words)
    if conf.get("campaigns"):
        assert parsed_form["campaigns"] == ",".join(conf["campaigns"])


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("campaign_backfill", {"campaigns": ["price_drop,win_back"]}),
        ("campaign_backfill", {"campaigns": ["--yes"]}),
        ("campaign_backfill", {"first": "yesterday"}),
        ("campaign_backfill", {"now": "noon"}),
        ("campaign_backfill", {"last": "2026-11-31"}),
        ("hourly_dispatch", {"now": "--json"}),
        ("daily_effects", {"conversion": "--json"}),
        ("weekly_retrain", {"ds": "last week"}),
    ],
)
def test_a_form_refuses_what_no_command_takes(dags, dag_id, conf):
    from airflow.sdk.exceptions import ParamValidationError

    task = dags[dag_id].tasks[0]
    with pytest.raises(ParamValidationError):
        context_of(task, conf=conf)


def test_a_resend_without_campaigns_names_the_field(dags):
    from airflow.sdk.exceptions import AirflowFailException

    choose = dags["campaign_backfill"].get_task("choose_mode").python_callable
    for campaigns in (None, []):
        with pytest.raises(AirflowFailException, match="field Campaigns"):
            choose({"mode": "resend", "campaigns": campaigns})


@pytest.mark.usefixtures("settings_home", "dags")
def test_the_form_offers_the_catalogs_campaigns():
    shared = importlib.import_module("_shared")
    assert shared.known_campaigns() == {}
    from angelia import cli
    from angelia.config import load_settings

    assert not Path(load_settings().catalog_url().removeprefix("sqlite:///")).exists(), (
        "looking makes no database"
    )
    with pytest.raises(SystemExit):
        cli.main(["catalog", "apply", str(PROJECT / "campaigns"), "--actor", "test"])
    campaigns = shared.known_campaigns()["examples"]
    assert campaigns == sorted(campaigns)
    assert {"price_drop", "win_back"} <= set(campaigns)
    assert "policy" not in campaigns


@pytest.mark.usefixtures("dags")
def test_shared_files_are_not_read_as_dags():
    """Airflow reads `.airflowignore` as globs: a regular expression there ignores nothing."""
    from airflow.configuration import conf

    syntax = conf.get("core", "dag_ignore_file_syntax", fallback="glob")
    assert syntax == "glob"
    from airflow.utils.file import list_py_file_paths

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        dags = {Path(path).name for path in list_py_file_paths(PROJECT / "dags", safe_mode=False)}
    assert dags == {f"{name}.py" for name in DAG_IDS}
