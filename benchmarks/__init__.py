"""Benchmarks: each module beside this file is one, with `main(argv) -> dict`.

`python -m benchmarks NAME` prints the result as a JSON line. Packages hold what benchmarks are made of, the
tools they compare with, and what all of them share.
"""

import angelia  # noqa: F401  takes Ctrl-C before the heavy imports
