"""## Solve a planned night again with other limits

**When.** By hand: the console's page *Plan*, *What if*, fills in the form; *Trigger* opens it, too. A night of
100,000 people takes some ten seconds, a million minutes.

**Reads** main's plan of a night and the commits it was made from; **writes** the answer beside the night's
verdicts, where the console shows it as a difference. The plan, manifests and the catalog stay as they are, and
nothing is sent.

**When it fails.**
- `solve` says that the night has no plan: name another night, or run that night first.
- `solve` says that nothing is called so, or that a value cannot be: `angelia plan whatif --list` lists what may
  be set. The console checks this before it triggers.
- `solve` says that a commit has expired: ask about a younger night.
"""

from __future__ import annotations

from _shared import command, optional, question_dag
from airflow.sdk import Param


@question_dag(
    __doc__,
    hours=3,
    tags=["plan"],
    params={
        "ds": optional("Night", "Day of the plan; empty = the newest with a plan.", format="date"),
        "settings": Param(
            {},
            type="object",
            title="Settings",
            description='What to change, e.g. {"caps.user_per_day": "1", "capacity.fcm.20": "0"}',
        ),
    },
)
def plan_whatif():
    """Solve it."""
    command(
        "solve",
        [
            *("angelia", "plan", "whatif", "--ds", "{{ params.ds or '' }}"),
            *("--settings", "{{ params.settings | tojson }}", "--keep", "--json"),
        ],
        pool="plan",
    )


plan_whatif()
