"""An erasure in a process of its own: it reads the whole lake, and nobody waits for it.

Run by the page as `python -m angelia.console.people.erasing`. The id comes by standard input, since arguments
of processes can be read by others; counts go to standard output, one line of what is wrong to standard error.
Surprise: the list of erasures is that of this API server's life; the audit trail keeps them for good. If the
process is killed, erasing the same person again completes it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from angelia.errors import AngeliaError

MODULE = "angelia.console.people.erasing"
UNDER_WAY, DONE, FAILED = "under way", "done", "failed"


@dataclass
class Erasure:
    """One erasure that the console began; it names nobody."""

    actor: str
    at: datetime
    state: str = UNDER_WAY
    says: str = ""


@dataclass
class Erasures:
    """The erasures of this process, newest first."""

    begun: list[Erasure] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, user: str, actor: str, at: datetime, ended: Callable[[Erasure], None]) -> Erasure:
        """Start the process; `ended` is called when it is over."""
        erasure = Erasure(actor, at)
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # it goes on if the API server is stopped
        )

        def wait() -> None:
            out, err = process.communicate(json.dumps(user))
            erasure.state, erasure.says = _result(process.returncode, out, err)
            ended(erasure)

        self.begun.insert(0, erasure)
        thread = threading.Thread(target=wait, name="angelia-erasure", daemon=True)
        self._threads.append(thread)
        thread.start()
        return erasure

    def join(self, timeout: float) -> None:
        """Wait for all that were begun."""
        for thread in self._threads:
            thread.join(timeout)


def _result(code: int, out: str, err: str) -> tuple[str, str]:
    if code == 0:
        erased = json.loads(out.splitlines()[-1])
        rows = sum(erased["rows"].values())
        return (
            DONE,
            f"{len(erased['commits']):,} commits rewritten, {rows:,} rows, {erased['files_deleted']:,} files",
        )
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    return FAILED, lines[-1].removeprefix("error: ") if lines else f"the process ended with {code}"


def main() -> int:
    """Erase the person whose id stands on standard input."""
    from dataclasses import asdict

    from angelia.intake import erasing as intake
    from angelia.intake.people.aliases import aliases_of
    from angelia.lake.configured import open_lake
    from angelia.lake.erasing.erase import erase

    try:
        lake, elsewhere, user = open_lake(), intake.configured(), json.loads(sys.stdin.read())
        # Before the person, whose addresses lead to these names.
        if names := aliases_of(lake, [user], elsewhere):
            erase(lake, names, elsewhere=elsewhere)
        result = erase(lake, [user], elsewhere=elsewhere)
    except AngeliaError as error:
        print(f"error: {error.one_line()}", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001
        # A foreign error's text may hold the id.
        print(
            f"error: the erasure failed ({type(error).__name__}); erase again to complete it", file=sys.stderr
        )
        return 2
    print(json.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
