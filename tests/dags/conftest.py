"""Airflow with a home of its own, and the DAGs as Python objects: no database, no scheduler."""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"

# Airflow reads its home when it is first imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")


@pytest.fixture(scope="session")
def dags():
    """Return every DAG by the stem of its file; a file that does not import fails here, naming the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's and its providers' own
        from airflow.dag_processing.dagbag import DagBag

        if str(DAGS) not in sys.path:
            sys.path.insert(0, str(DAGS))
        bag = DagBag(dag_folder=str(DAGS))
        assert not bag.import_errors
    return {Path(dag.fileloc).stem: dag for dag in bag.dags.values()}
