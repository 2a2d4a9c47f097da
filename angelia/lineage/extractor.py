"""Airflow's OpenLineage provider asks this which datasets a task read and wrote.

Switched on by `AIRFLOW__OPENLINEAGE__EXTRACTORS=angelia.lineage.extractor.LakeExtractor`; only then is it
imported, since the provider is not among our own packages. A dataset's facet `version` holds its commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors.base import BaseExtractor, OperatorLineage
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import dataset_version_dataset

from angelia.config import load_settings
from angelia.lake.configured import open_lake
from angelia.lineage.commits import Versions, commits_of


class LakeExtractor(BaseExtractor):  # type: ignore[misc]
    """The extractor of our DAGs' two operators."""

    @classmethod
    def get_operator_classnames(cls) -> list[str]:
        """Return the names of the operators that it is for."""
        return ["CommandOperator", "SparkSubmitOperator"]

    def _execute_extraction(self) -> OperatorLineage:
        # When a task starts nothing is committed yet.
        return OperatorLineage()

    def extract_on_complete(self, task_instance: Any) -> OperatorLineage:
        """Return the commits of the task's outlets, and what those were made from."""
        operator = self.operator
        words = list(getattr(operator, "argv", None) or getattr(operator, "application_args", None) or ())
        ds = _after(words, "--ds")
        names = [outlet.name for outlet in operator.outlets]
        if ds is None or not names:
            return OperatorLineage()
        branch = getattr(operator, "branch", None) or _after(words, "--branch")
        read, written = commits_of(open_lake(branch), names, ds)
        return OperatorLineage(inputs=_datasets(read), outputs=_datasets(written))

    def extract_on_failure(self, task_instance: Any) -> OperatorLineage:
        """Return nothing: a commit that stands is not a failed task's."""
        return OperatorLineage()


def _after(words: Sequence[str], option: str) -> str | None:
    return words[words.index(option) + 1] if option in words[:-1] else None


def _datasets(versions: Versions) -> list[Any]:
    """Return datasets named by OpenLineage's rules: the bucket (or `file`), and the path in it."""
    url = urlsplit(load_settings().lake_url())
    space = f"s3://{url.netloc}" if url.scheme == "s3" else "file"
    folder = url.path.strip("/") if url.scheme == "s3" else url.path.rstrip("/")
    return [
        Dataset(
            namespace=space,
            name="/".join(part for part in (folder, name) if part),
            facets={"version": dataset_version_dataset.DatasetVersionDatasetFacet(" ".join(listed))},
        )
        for name, listed in sorted(versions.items())
    ]
