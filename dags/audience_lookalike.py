"""## Make a list of the people most like an audience

**When.** By hand: the console's page *Audiences* fills in the form; *Trigger* opens it, too. Training takes a
minute or two at 100,000 people.

**Reads** the bitmap index, features and catalog snapshot of a night; **writes** one list, which conditions name
as `in_list('NAME')`. A list of the same name is replaced. People of the seed and suppressed people are not in
it.

**When it fails.**
- `find` says that a list name must be letters, digits and _, or that the seed cannot be read: trigger again
  with another name or condition. An audience saved after the night's snapshot does not exist for it yet.
- `find` says that the seed has too few people: name a larger one.
- `find` says that there is no audience index: run the night first.
"""

from __future__ import annotations

from _shared import command, optional, question_dag
from airflow.sdk import Param


@question_dag(
    __doc__,
    hours=6,
    tags=["audiences"],
    params={
        "name": optional("Name", "Of the list to make: lower-case letters, digits and _."),
        "seed": optional(
            "Seed", "A condition, or the name of a saved audience, whose people the list should resemble."
        ),
        "size": Param(10_000, type="integer", minimum=1, title="Size", description="How many people."),
    },
)
def audience_lookalike():
    """Find them."""
    command(
        "find",
        [
            *("angelia", "audience", "lookalike", "--seed={{ params.seed or '' }}"),
            *("--size", "{{ params.size }}", "--json", "--", "{{ params.name or '' }}"),
        ],
        pool="spark",
    )


audience_lookalike()
