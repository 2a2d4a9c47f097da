"""Settings come from `ANGELIA_*`; each wrong value is named by its variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.config import Settings, load_settings
from angelia.errors import InvalidInput


def test_everything_local_stands_below_home_unless_named() -> None:
    settings = Settings(home=Path("/srv/angelia"))
    assert settings.lake_url() == "/srv/angelia/lake"
    assert settings.catalog_url() == "sqlite:////srv/angelia/catalog.db"
    assert settings.intake_url() == "sqlite:////srv/angelia/intake.db"
    assert settings.models_url() == "/srv/angelia/models"
    assert settings.reports_dir() == Path("/srv/angelia/reports")
    named = Settings(
        lake="s3://b/p", catalog="postgresql://h/c", intake="postgresql://h/i", models="s3://b/m"
    )
    assert (named.lake_url(), named.models_url()) == ("s3://b/p", "s3://b/m")
    assert (named.catalog_url(), named.intake_url()) == ("postgresql://h/c", "postgresql://h/i")
    assert Settings(reports="/srv/www").reports_dir() == Path("/srv/www")
    for bucket in ("s3://b/r", "s3:/b/r"):  # the second is refused once it is opened; no folder is called so
        shared = Settings(home=Path("/srv/angelia"), reports=bucket)
        assert (shared.reports_dir(), shared.reports_bucket()) == (Path("/srv/angelia/reports"), bucket)


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("var")).lake_url() == str(tmp_path / "var" / "lake")


def test_the_environment_is_read_and_empty_means_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGELIA_SHARD_BITS", "14")
    monkeypatch.setenv("ANGELIA_LEAD_HOURS", "")
    settings = load_settings()
    assert (settings.shard_bits, settings.lead_hours) == (14, 28)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANGELIA_SHARD_BITS", "7"),
        ("ANGELIA_SHARD_BITS", "25"),
        ("ANGELIA_LEAD_HOURS", "49"),
        ("ANGELIA_LATE_DAYS", "many"),
        ("ANGELIA_HOME", "s3://bucket/home"),
        ("ANGELIA_HOME", "s3:/bucket/home"),
        ("ANGELIA_BRANCH", "feature"),
        ("ANGELIA_BRANCH", "replay-" + "x" * 65),
    ],
)
def test_a_value_out_of_range_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput, match=f"^{variable}: .*got '{value}'"):
        load_settings()


def test_options_of_spark_are_words_with_quotes() -> None:
    settings = Settings(spark_conf="spark.executor.memory=8g 'spark.executor.extraJavaOptions=-Xa=1 -Xb'")
    assert settings.spark_options() == {
        "spark.executor.memory": "8g",
        "spark.executor.extraJavaOptions": "-Xa=1 -Xb",
    }
    assert Settings().spark_options() == {}


@pytest.mark.parametrize("text", ["spark.executor.memory", "executor.memory=8g", "'spark.a=1"])
def test_what_is_no_option_of_spark_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="ANGELIA_SPARK_CONF"):
        Settings(spark_conf=text).spark_options()


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("HOME", "s3://bucket/home", "a folder"),
        ("HOME", "file:///srv/angelia", "a folder"),
        ("LAKE", "gs://bucket/lake", "a folder or s3://bucket/prefix"),
        ("MODELS", "gs://bucket/models", "a folder or s3://bucket/prefix"),
        ("REPORTS", "S3://bucket", "a folder or s3://bucket/prefix"),
    ],
)
def test_an_address_of_another_kind_is_refused(
    name: str, value: str, kinds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It became a folder of that name, without a word."""
    monkeypatch.setenv(f"ANGELIA_{name}", value)
    with pytest.raises(InvalidInput) as refused:
        load_settings()
    assert refused.value.one_line() == f"ANGELIA_{name}: should be {kinds}, got {value!r}"


def test_a_tilde_is_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker and systemd hand it over as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANGELIA_HOME", "~/angelia")
    monkeypatch.setenv("ANGELIA_LAKE", "~/lake")
    settings = load_settings()
    assert (settings.home, settings.lake_url()) == (tmp_path / "angelia", str(tmp_path / "lake"))
