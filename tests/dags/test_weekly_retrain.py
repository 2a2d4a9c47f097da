"""What somebody sees who promotes a model, and what their answer is about."""

import pytest

from models.evaluate import Estimate, estimates_json
from models.judging.rehearsed import SKIPPED, card_path, shortfalls
from tests.dags.given import asked, options_of, pulling, pushed, trained


def test_a_promotion_is_told_what_was_answered_to_which_version(dags):
    dag = dags["weekly_retrain"]
    options = ("--version", "--answer", "--by", "--about")
    assert options_of(dag, "promote", *options, train=trained()) == ("2026-11-14-0123", "", "", "")
    answer = pushed(dag.get_task("approve"), "Approve", about="2026-11-13-0123")
    given = options_of(dag, "promote", *options, train=trained(), approve=answer)
    assert given == ("2026-11-14-0123", "Approve", "ada", "2026-11-13-0123")


def value_of(value):
    return estimates_json({"dr": Estimate(value, value - 0.01, value + 0.01, 90.0, 100)})


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({}, ""),  # no catalog to know the choices by
        (
            {"off_policy": value_of(0.08)},
            "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]",
        ),
        (
            {"off_policy": value_of(0.08), "champion": {"version": "v0", "off_policy": value_of(0.06)}},
            (
                "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]; the "
                "champion on the same rounds: 0.06000 [0.05000, 0.07000]"
            ),
        ),
        (
            {"off_policy": value_of(0.08), "champion": {"version": "v0", "not_compared": "damaged"}},
            "Opens a push if it chose (doubly robust, 95 %): 0.08000 [0.07000, 0.09000]",
        ),
    ],
)
def test_who_promotes_sees_the_models_rank_and_worth(dags, metrics, says):
    dag = dags["weekly_retrain"]
    body = asked(dag, "approve", train=trained(**metrics))
    lines = [line for line in body.splitlines() if line]
    assert lines == [
        "Version **2026-11-14-0123**, on the latest pushes:",
        "| | this version | base rate |",
        "|---|---|---|",
        "| log loss | 0.40037 | 0.56234 |",
        "| AUC | 1.0000 | 0.5 |",
        "| calibration error | 0.3000 | |",
        *says.splitlines(),
        "The card: `HOME/models/p_open/versions/2026-11-14-0123/card.md`",
        lines[-1],
    ]
    assert lines[-1].startswith("Answer by ")
    subject = dag.get_template_env().from_string(dag.get_task("approve").subject)
    assert subject.render({"ti": pulling(train=trained())}) == "Promote model 2026-11-14-0123?"


def test_who_promotes_sees_what_the_gate_would_refuse(dags):
    body = asked(
        dags["weekly_retrain"], "approve", train=trained() | {"objections": ["too dear", "too late"]}
    )
    lines = [line for line in body.splitlines() if line]
    at = lines.index("**It would be refused**, even if you approve:")
    assert lines[at + 1 : at + 3] == ["- too dear", "- too late"]


def rehearsed(low: float, how: str = "as_it_is") -> dict:
    """What the rehearsal pushes, by its own names."""
    gain = {"value": 0.001, "low": low, "high": 0.002}
    figures = {"messages": 1000, "opens": 90.0, "opens_per_message": 0.09, "unsubscribes_per_message": 0.001}
    verdict = {
        "version": "2026-11-14-0123", "how": how, "says": "Two nights.", "reason": "no time", "by": "run x",
        "figures": {"version": figures, "usual": figures},
        "gains": {"usual": {"opens_per_message": gain, "opens": gain}},
    }  # fmt: skip
    verdict |= {"figures": {}, "gains": {}} if how == SKIPPED else {}
    return {"objections": shortfalls(verdict), "verdict": verdict, "card": card_path(verdict["version"])}


def test_who_promotes_sees_what_the_rehearsal_showed(dags):
    dag = dags["weekly_retrain"]
    assert dag.get_task("rehearse").downstream_task_ids == {"approve"}
    body = asked(dag, "approve", train=trained(), rehearse=rehearsed(0.0005))
    says = "in the rehearsal: 0.09000; usual: 0.09000 (+0.00100 [+0.00050, +0.00200]). Two nights."
    assert f"Opens a message {says}" in body
    assert "would be refused" not in body
    assert "The card: `HOME/models/p_open/rehearsals/2026-11-14-0123/card.md`" in body
    body = asked(dag, "approve", train=trained() | {"objections": ["too dear"]}, rehearse=rehearsed(-0.02))
    lines = [line for line in body.splitlines() if line]
    at = lines.index("**It would be refused**, even if you approve:")
    assert lines[at + 1] == "- too dear"
    assert lines[at + 2].startswith("- in the rehearsal its opens a message may be fewer")
    body = asked(dag, "approve", train=trained(), rehearse=rehearsed(0.0, SKIPPED))
    assert "The rehearsal was **skipped**: no time" in body
