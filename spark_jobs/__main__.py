"""Run several jobs, in the given order, in one Spark session.

Usage: `python -m spark_jobs index_users --ds D + aggregate_days --ds D --days 28`.
"""

from __future__ import annotations

import importlib
import itertools
import sys

from angelia.output import exit_code
from spark_jobs import JOBS
from spark_jobs.running.session import run_job, spark_session


def main(argv: list[str]) -> int:
    """Run the named jobs in one session; return the first exit code that is not 0."""
    calls = [
        list(group) for is_plus, group in itertools.groupby(argv, lambda word: word == "+") if not is_plus
    ]
    names = [call[0] for call in calls]
    if not calls or any(name not in JOBS for name in names):
        unknown = ", ".join(name for name in names if name not in JOBS)
        sys.stderr.write(f"error: no job {unknown or 'named'}; jobs are: {', '.join(JOBS)}\n")
        return 2
    modules = [importlib.import_module(f"spark_jobs.{name}") for name in names]
    for module, call in zip(modules, calls, strict=True):
        # Every command line is checked before the first job runs.
        module.arg_parser_for_job().parse_args(call[1:])

    def run() -> int:
        with spark_session("+".join(names)):
            for module, call in zip(modules, calls, strict=True):
                if code := run_job(module.main, call[1:]):
                    return code
        return 0

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
