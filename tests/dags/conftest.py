"""Airflow with a home of its own, and the DAGs as Python objects.

There is no database and no scheduler.
"""

import json
import os
import sys
import tempfile
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"

# Airflow reads its home when it is first imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")


@pytest.fixture(scope="session")
def dags():
    """Return every DAG by the stem of its file; a file that does not import fails here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's and its providers' own
        from airflow.dag_processing.dagbag import DagBag

        if str(DAGS) not in sys.path:
            sys.path.insert(0, str(DAGS))
        bag = DagBag(dag_folder=str(DAGS))
        assert not bag.import_errors
    return {Path(dag.fileloc).stem: dag for dag in bag.dags.values()}


class Receiver(BaseHTTPRequestHandler):
    """Takes notices."""

    def do_POST(self):
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        """Stay silent."""


@pytest.fixture
def receiver():
    """Yield a server that keeps the notices it receives."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
