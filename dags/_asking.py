"""How the DAGs ask a person, and how an answer travels to the command that acts on it.

The command judges the answer, not the DAG: a question that was skipped, cleared, marked as success or has run
out of time must mean no, and only the command runs on every road.

Surprise: Airflow keeps the first text of a question for as long as its run lives; cleared and asked again, it
shows old numbers. So each question carries what it is about in a field of its form, which Airflow keeps with
that text and returns with the answer: an answer to old numbers names an old verdict, and does not count.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from _notify import QuestionNotifier
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Context, Param

ABOUT = "about"
FORM = "What this question is about; the answer counts for it alone. Leave it as it is."


def answer_by(minutes: int) -> str:
    """Return the instant until which a question that is asked now can be answered."""
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%d %H:%M} UTC"


def asking(body: str, default: str, within: timedelta) -> dict[str, Any]:
    """Return what every question has: numbers, terms, a careful default, a deadline, a notice.

    The DAG's macros need `answer_by`.
    """
    minutes = int(within.total_seconds() // 60)
    until = f"\n\nAnswer by {{{{ answer_by({minutes}) }}}}; no answer counts as **{default}**. "
    terms = until + "Whoever may edit *Required actions* of this DAG may answer, and is recorded."
    return {
        "body": body + terms,
        "params": {ABOUT: Param("", type="string", title="About", description=FORM)},
        "defaults": default,
        "response_timeout": within,
        "execution_timeout": None,
        "notifiers": QuestionNotifier(),
    }


def answer_to(ti: Any, task_id: str | None) -> dict[str, str]:
    """Return a person's answer in the form that commands take; an empty text is no answer.

    A question that timed out names nobody; a question that was skipped or marked as success left nothing.
    """
    answer = (ti.xcom_pull(task_ids=task_id) if task_id else None) or {}
    who = answer.get("responded_by_user") or {}
    return {
        "option": ", ".join(answer.get("chosen_options") or ()),
        "by": str(who.get("name") or who.get("id") or ""),
        "about": str((answer.get("params_input") or {}).get(ABOUT) or ""),
    }


class Question(HITLOperator):
    """Ask, with what the question is `about` (a template) in its form."""

    template_fields = (*HITLOperator.template_fields, ABOUT)

    def __init__(self, *, about: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.about = about

    def execute(self, context: Context) -> Any:
        """Put what the question is about into its form, then ask."""
        self.params[ABOUT] = self.about
        return super().execute(context)


class Approval(ApprovalOperator):
    """Ask for a yes or no, with what the question is `about` (a template) in its form."""

    template_fields = (*ApprovalOperator.template_fields, ABOUT)

    def __init__(self, *, about: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.about = about

    def execute(self, context: Context) -> Any:
        """Put what the question is about into its form, then ask."""
        self.params[ABOUT] = self.about
        return super().execute(context)
