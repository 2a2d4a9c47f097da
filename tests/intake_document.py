"""`make test-intake`: try what the intake's OpenAPI document allows, and what it forbids.

schemathesis, in an environment of its own, makes requests from the document to a real server: each must be
answered, by no 5xx, with a status, headers and a body that the document describes. Exit code 1: it names the
requests that were not. Surprise: a cancelled message can still be read, and says so; the clock's rules
(`send_at` in the past), hours that are none, and which of several names a message has, are in no schema; a
batch with a wrong item is answered 200 with a verdict an item.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = int(os.environ.get("ANGELIA_EXAMPLES", "40"))
SEED = "2026"
CONFIG = """
[[operations]]
include-name = "POST /v1/messages"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "409", "422", "429"]
[[operations]]
include-name = "POST /v1/messages:batch"
checks.negative_data_rejection.expected-statuses = ["200", "400", "401", "403", "413", "422", "429"]
[[operations]]
include-name = "PUT /v1/users/{user_id}/preferences"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]
"""


def main(schemathesis: str) -> int:
    """Serve an empty intake, try its document, and return the exit code."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "ANGELIA_HOME": home, "PYTHONPATH": str(ROOT)}
        env.pop("ANGELIA_INTAKE", None)
        angelia = [sys.executable, "-m", "angelia.cli", "intake"]
        # A rate that nobody reaches: what is tried are the other rules.
        made = [*angelia, "keys", "make", "--client", "trial", "--per-second", "1000000", "--json"]
        key = json.loads(subprocess.run(made, env=env, check=True, capture_output=True).stdout)["key"]
        ready, config = Path(home, "ready.json"), Path(home, "schemathesis.toml")
        config.write_text(CONFIG, "utf-8")
        serve = [*angelia, "serve", "--port", "0", "--ready-file", str(ready)]
        server = subprocess.Popen(serve, env=env, stderr=subprocess.DEVNULL)
        try:
            while not (ready.exists() and ready.read_text("utf-8")):
                if server.poll() is not None:
                    print("the server did not start")
                    return 2
                time.sleep(0.1)
            address = f"http://127.0.0.1:{json.loads(ready.read_text('utf-8'))['port']}/openapi.json"
            words = [
                # It runs in the home, where a path of make's folder leads nowhere.
                *(str(Path(schemathesis).absolute()), f"--config-file={config}"),
                *("run", address, "--checks=all", "--no-color"),
                "--exclude-checks=use_after_free",  # what is deleted is the sending
                *(f"--max-examples={EXAMPLES}", f"--seed={SEED}", "--continue-on-failure"),
                *("--header", f"Authorization: Bearer {key}", "--generation-database=none"),
            ]
            return subprocess.run(words, cwd=home, check=False).returncode
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
