"""`make audit`: look up the locked packages' known vulnerabilities with pip-audit.

pip-audit runs in an environment of its own. Exit code 1: a locked package has a known vulnerability. Exit
code 0: none has, or the service was out of reach, and the output says so: a machine without a network can
build all the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECONDS = 300


def main(command: list[str] | None = None) -> int:
    """Run the audit, say what came of it, and return the exit code."""
    uv = str(Path(sys.executable).parent / "uv")
    options = [
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner",
        "off",
        "--format",
        "json",
        "-r",
        str(ROOT / "requirements.lock"),
    ]
    words = command or [uv, "tool", "run", "pip-audit", *options]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"audit: not done: {type(error).__name__}; nothing was looked up")
        return 0
    try:
        listed = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(
            f"audit: not done: pip-audit gave no result, the service or the registry is likely "
            f"out of reach: {last[:200]}"
        )
        return 0
    vulnerabilities = [(one["name"], one["version"], vuln) for one in listed for vuln in one.get("vulns", [])]
    for name, version, vuln in vulnerabilities:
        print(
            f"{name} {version}: {vuln['id']}, fixed in {', '.join(vuln['fix_versions']) or 'no version yet'}"
        )
    skipped = sum("skip_reason" in one for one in listed)
    if skipped == len(listed):
        print(f"audit: not done: the service knew none of {skipped} packages; it is likely out of reach")
        return 0
    print(
        f"audit: {len(listed) - skipped} packages looked up, {skipped} not known to the service, "
        f"{len(vulnerabilities)} vulnerabilities"
    )
    return 1 if vulnerabilities else 0


if __name__ == "__main__":
    sys.exit(main())
