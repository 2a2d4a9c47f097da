"""`angelia audience lookalike`: run the Spark job that keeps the people most like a seed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from angelia.contracts.sources import NAME
from angelia.errors import AngeliaError, InvalidInput
from angelia.output import progress


def check_name(name: str) -> None:
    """Check the name of a list.

    Raises:
        InvalidInput: it is not a list name.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidInput(f"list name {name!r} must be lower-case letters, digits and _")


def find(name: str, seed: str, size: int, ds: str, random_seed: int) -> dict[str, Any]:
    """Run the job, let its progress pass, and return its read-out.

    Raises:
        InvalidInput: the job refuses the request.
        AngeliaError: the job failed otherwise.
    """
    options = [
        "--ds",
        ds,
        "--name",
        name,
        "--seed",
        seed,
        "--size",
        str(size),
        "--random-seed",
        str(random_seed),
    ]
    command = [sys.executable, "-m", "spark_jobs.score_lookalikes", *options]
    refusal = ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if line.startswith("error: "):
                refusal = line.removeprefix("error: ").strip()
            elif line.startswith(("score_lookalikes: ", "__main__: ")):
                progress(line.rstrip())
        out = process.stdout.read()
    # With exit code 2 the job refused, and its own words name the fix; anything else is a crash.
    if code := process.returncode:
        raise (
            InvalidInput(refusal)
            if code == 2 and refusal
            else AngeliaError(f"score_lookalikes ended with exit code {code}", fix=" ".join(command[1:3]))
        )
    members: dict[str, Any] = json.loads(out.splitlines()[-1])
    return members


def lines(members: dict[str, Any]) -> list[str]:
    """Return the read-out as lines of text."""
    features = ", ".join(f"{one['feature']} {one['gain_pct']:.0f} %" for one in members["top_features"][:5])
    lift = " ".join(f"{value:.1f}" for value in members["lift_by_decile"])
    return [
        (
            f"{members['list']}: {members['users']:,} people most like the seed; use it as "
            f"in_list('{members['list']}')"
        ),
        (
            f"on people held out: AUC {members['auc']:.3f} (0.5 = no better than chance), lift by tenth "
            f"from the top: {lift}"
        ),
        f"distinguished by {features or 'nothing'}"
        + (
            f"; not used, since the seed's condition names them: {', '.join(members['left_out'])}"
            if members["left_out"]
            else ""
        ),
    ]
