"""Run several jobs, in the order given, in one Spark session: `python -m spark_jobs index_users aggregate_days --ds D [-- JOB OPTIONS]`.

Options are passed to every job that declares them; an option that no job declares is an error.
"""

from __future__ import annotations

import importlib
import sys

from spark_jobs import JOBS
from spark_jobs._session import run_job, spark_session


def main(argv: list[str]) -> int:
    """Run the named jobs in one session; return the first exit code that is not 0."""
    names = []
    while argv and not argv[0].startswith("-"):
        names.append(argv.pop(0))
    unknown = [name for name in names if name not in JOBS]
    if unknown or not names:
        sys.stderr.write(f"error: no job {', '.join(unknown) or 'named'}; jobs are: {', '.join(JOBS)}\n")
        return 2
    modules = [importlib.import_module(f"spark_jobs.{name}") for name in names]
    for module in modules:
        module.arg_parser_for_job().parse_args(argv)  # all command lines are checked before the first job runs
    with spark_session("+".join(names)):
        for module in modules:
            if code := run_job(module.main, argv):
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
