"""## Train a new model every week, and promote it if a person approves

**When.** Mondays 05:00 UTC, on the pushes up to Sunday. Start it by hand after a change of features or of the
catalog; `ds` in the form names another day.

**Reads** `user_features`, `user_pushes` and the catalog's snapshot of branch main; **writes** one version
into the registry (HOME/models), and makes it the champion if somebody approves. `train` reports how well the
version ranks, and how its choices compare with the champion's on the same logged rounds.

**Rehearsal.** `rehearse` lets the version decide two nights in two small simulated shops, on the same people as the
champion and as the usual product (about a minute of processor), and keeps the verdict with its card
(HOME/models/p_open/rehearsals/VERSION/card.md). `promote` refuses a version that earns fewer opens there. *Skip the
rehearsal* in the form takes a reason, which the card and the question repeat.

**Approval.** `approve` waits three days for an answer under *Required actions*, showing those numbers; no
answer is a no, and so is a question that was marked as success. The person who answers is recorded as the
promoter, and only the version that was asked about is promoted. Until then the night scores with the present
champion.

**When it fails.**
- `train` says that a dataset has no commit: the night of that day has not run. Clear `train` once it has.
- `rehearse` fails: no verdict is kept, and `promote` would refuse. Clear it; where the simulated shop itself is
  broken, trigger the week again with a reason under *Skip the rehearsal*.
- `promote` says that the answer is about another version: `train` ran again, and Airflow keeps a question's
  first text. Trigger the week again, or run `python -m models.promote` for the version you read about.
- `promote` names a figure and the bar that it misses (the question named them, too): approval is not enough
  for that. Read the version's card (HOME/models/p_open/rehearsals/VERSION/card.md). Where the champion is only
  to be refreshed, trigger the week with *Bar* `non_inferior`; a person who takes the responsibility can run
  `python -m models.promote --force`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import jinja2
from _asking import Approval, answer_by, answer_to, asking
from _shared import DEFAULTS, CommandOperator, last_closed
from airflow.sdk import CronDataIntervalTimetable, Param, dag

# A run without a date has no interval: it takes the last closed day.
LAST_DAY = (
    "{{ params.ds or (macros.ds_add(data_interval_end | ds, -1) if data_interval_end | default(none) "
    "else last_closed(dag_run)) }}"
)
TRAINED = "ti.xcom_pull(task_ids='train')"
QUESTION = """{% set trained = ti.xcom_pull(task_ids='train') %}{% set test = trained.metrics.test %}
Version **{{ trained.version }}**, on the latest pushes:

| | this version | base rate |
|---|---|---|
| log loss | {{ '%.5f' % test.logloss }} | {{ '%.5f' % test.logloss_base_rate }} |
| AUC | {{ '%.4f' % test.auc }} | 0.5 |
| calibration error | {{ '%.4f' % test.calibration_error }} | |
{% set ours = trained.metrics.get('off_policy', {}).get('dr') %}
{% set theirs = trained.metrics.get('champion', {}).get('off_policy', {}).get('dr') %}
{% if ours %}Opens a push if it chose (doubly robust, 95 %): {{ '%.5f [%.5f, %.5f]' % (ours.value, ours.low, ours.high) }}{% endif %}
{%- if theirs %}; the champion on the same rounds: {{ '%.5f [%.5f, %.5f]' % (theirs.value, theirs.low, theirs.high) }}{% endif %}
{% set rehearsed = ti.xcom_pull(task_ids='rehearse') or {} %}{% set verdict = rehearsed.get('verdict', {}) %}
{% if verdict.get('how') == 'skipped' %}The rehearsal was **skipped**: {{ verdict.reason }}
{% elif verdict %}Opens a message in the rehearsal: {{ '%.5f' % verdict.figures.version.opens_per_message }}
{%- for other, gains in verdict.gains.items() %}{% set gain = gains.opens_per_message %}; {{ other }}: \
{{ '%.5f' % verdict.figures[other].opens_per_message }} \
({{ '%+.5f [%+.5f, %+.5f]' % (gain.value, gain.low, gain.high) }})
{%- endfor %}. {{ verdict.says }}
{% endif %}
{% set refused = (trained.get('objections') or []) + (rehearsed.get('objections') or []) %}
{% if refused %}**It would be refused**, even if you approve:
{% for line in refused %}
- {{ line }}
{%- endfor %}
{% endif %}

The card: `HOME/models/{{ rehearsed.get('card') or 'p_open/versions/' + trained.version + '/card.md' }}`
"""


@dag(
    dag_id="weekly_retrain",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 5 * * 1", timezone="UTC"),
    start_date=datetime(2022, 1, 3),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=4),
    default_args=DEFAULTS,
    template_undefined=jinja2.StrictUndefined,
    user_defined_macros={"last_closed": last_closed, "answer_by": answer_by, "answer_to": answer_to},
    tags=["angelia", "models"],
    params={
        "ds": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Last day",
            description=(
                "Pushes up to it; empty = the Sunday before, or the last closed day where the run "
                "has no date."
            ),
        ),
        "trees": Param(
            100,
            type="integer",
            minimum=1,
            maximum=2000,
            title="Trees",
            description="Number of trees; a model with more trees scores more slowly.",
        ),
        "bar": Param(
            "superior",
            type="string",
            enum=["superior", "non_inferior"],
            title="Bar",
            description=(
                "What its draws must earn beside the champion's on the same rounds: credibly more, or, for a "
                "mere refresh, no less than a margin."
            ),
        ),
        "skip_rehearsal": Param(
            None,
            type=["null", "string"],
            maxLength=200,
            title="Skip the rehearsal",
            description="Why; empty = it is held. The card and the question repeat the reason.",
        ),
        "compile": Param(
            False,
            type="boolean",
            title="Compile its trees",
            description=(
                "Make machine code of its trees once it is promoted: minutes for large ones, then scoring is "
                "several times faster. Needs the extra `compiled`."
            ),
        ),
    },
)
def weekly_retrain():
    """Chain the week's tasks."""
    train = CommandOperator(
        task_id="train",
        argv=[
            *("python", "-m", "models.train", "--ds", LAST_DAY, "--trees", "{{ params.trees }}"),
            *("--bar", "{{ params.bar }}", "--json"),
        ],
        pool="spark",
    )
    rehearse = CommandOperator(
        task_id="rehearse",
        argv=[
            *("angelia", "rehearse", "--version", "{{ " + TRAINED + ".version }}"),
            *("--skip", "{{ params.skip_rehearsal or '' }}", "--by", "run {{ dag_run.run_id }}", "--json"),
        ],
        pool="spark",
    )
    approve = Approval(
        task_id="approve",
        about="{{ " + TRAINED + ".version }}",
        subject="Promote model {{ " + TRAINED + ".version }}?",
        **asking(QUESTION, "Reject", timedelta(days=3)),
    )
    promote = CommandOperator(
        task_id="promote",
        argv=[
            *("python", "-m", "models.promote", "--version", "{{ " + TRAINED + ".version }}"),
            *("--answer", "{{ answer_to(ti, 'approve').option }}"),
            *("--by", "{{ answer_to(ti, 'approve').by }}"),
            *("--about", "{{ answer_to(ti, 'approve').about }}"),
            *("--bar", "{{ params.bar }}"),
            "{{ '--compile' if params.compile else '--no-compile' }}",
            *("--reason", "weekly retrain, approved in Airflow", "--json"),
        ],
    )
    train >> rehearse >> approve >> promote


weekly_retrain()
