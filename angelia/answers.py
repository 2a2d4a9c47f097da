"""A person's answer to a question, and whether it counts; no answer always means no.

Grain: answer. Reads and writes nothing. Code that acts on an answer (manifests, a resend, a promotion) asks
here itself, so that a question which was skipped, cleared, marked as done or has run out of time decides
nothing. Surprise: an answer names its subject, because a question that Airflow asks again keeps its first
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from angelia.errors import GateClosed

APPROVE, REJECT = "Approve", "Reject"  # what Airflow's approvals offer


@dataclass(frozen=True)
class OperatorAnswer:
    """One answer as Airflow or a command line hands it over; an empty text was not given.

    Attributes:
        option: what was chosen.
        by: who chose it; nobody, where a question ran out of time.
        about: what the question was about: a verdict, a count, a version.
    """

    option: str = ""
    by: str = ""
    about: str = ""

    def refusal(self, offered: Sequence[str], about: str) -> str | None:
        """Return why this is not a person's answer to this very question; None if it is."""
        if not self.option.strip():
            return "nobody answered"
        if not self.by.strip():
            return "no named person answered"
        if self.option not in offered:
            return f"{self.option!r} was not offered: {', '.join(offered)} were"
        if self.about != about:
            return f"the answer is about {self.about or 'nothing that it names'}, the question about {about}"
        return None


def require_approval(answer: OperatorAnswer, about: str, what: str, *, fix: str) -> None:
    """Do nothing if a named person approved this very thing.

    Raises:
        GateClosed: one line: what is not done, and why.
    """
    why = answer.refusal((APPROVE, REJECT), about)
    if why is None and answer.option != APPROVE:
        why = f"the answer was {answer.option}"
    if why is not None:
        raise GateClosed(f"{what}: {why}", fix=fix)
