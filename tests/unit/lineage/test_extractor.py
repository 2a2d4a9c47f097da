"""What the OpenLineage provider gets of a task, in the provider's own form.

The provider is no package of ours: where it is missing, its four names stand in.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake

DS = "2026-11-14"
NAMES = {
    "airflow.providers.openlineage.extractors.base": ("BaseExtractor", "OperatorLineage"),
    "openlineage.client.event_v2": ("Dataset",),
    "openlineage.client.facet_v2": ("dataset_version_dataset",),
}


class Asked:
    """Keeps what it was made with, as the provider's classes do."""

    def __init__(self, operator: object = None, **fields: Any) -> None:
        self.operator = operator
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.__dict__ |= fields


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the module, on the provider itself where it is installed."""
    if importlib.util.find_spec("openlineage") is None:
        facets = SimpleNamespace(DatasetVersionDatasetFacet=lambda text: SimpleNamespace(datasetVersion=text))
        for module, names in NAMES.items():
            parts = module.split(".")
            for depth in range(1, len(parts) + 1):
                name = ".".join(parts[:depth])
                if name not in sys.modules:
                    monkeypatch.setitem(sys.modules, name, ModuleType(name))
            for name in names:
                stand_in = facets if name == "dataset_version_dataset" else Asked
                monkeypatch.setattr(sys.modules[module], name, stand_in, raising=False)
    monkeypatch.setenv("ANGELIA_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "angelia.lineage.extractor", raising=False)
    yield importlib.import_module("angelia.lineage.extractor")
    # Another test must not meet the stand-ins.
    sys.modules.pop("angelia.lineage.extractor", None)


def operator(**words: Any) -> SimpleNamespace:
    return SimpleNamespace(outlets=[SimpleNamespace(name="user_days")], **words)


def test_a_task_that_ended_names_its_commits(extractor: Any, tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    with lake.attempt("user_events", ds=DS) as attempt:
        attempt.write(valid_rows("user_events", 10), "part-0000.parquet", conform=False)
        events = attempt.publish()
    with lake.attempt("user_days", ds=DS) as attempt:
        attempt.write(valid_rows("user_days", 10), "part-0000.parquet", conform=False)
        days = attempt.publish(inputs=[events])
    job = extractor.LakeExtractor(operator(application_args=["--ds", DS, "--branch", "main", "--judged"]))
    lineage = job.extract_on_complete(None)
    for datasets, commit in ((lineage.inputs, events), (lineage.outputs, days)):
        (described,) = datasets
        assert described.namespace == "file"
        assert described.name == f"{tmp_path}/lake/main/{commit.dataset}"
        assert described.facets["version"].datasetVersion == commit.citation().split("/", 1)[1]
    for silent in (job._execute_extraction(), job.extract_on_failure(None)):
        assert (silent.inputs, silent.outputs) == ([], [])


def test_a_command_without_a_day_says_nothing(extractor: Any) -> None:
    lineage = extractor.LakeExtractor(
        operator(argv=["angelia", "doctor"], branch="main")
    ).extract_on_complete(None)
    assert (lineage.inputs, lineage.outputs) == ([], [])


def test_a_bucket_is_the_namespace(extractor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGELIA_LAKE", "s3://shop/data/lake")
    (described,) = extractor._datasets({"main/user_days": ["ds=2026-11-14@1#00"]})
    assert (described.namespace, described.name) == ("s3://shop", "data/lake/main/user_days")
