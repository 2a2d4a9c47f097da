"""Settings, read from the environment (`ANGELIA_*`) once per process.

So a task run by hand equals the scheduled one.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from angelia.errors import InvalidInput

MAX_LEAD_HOURS = 48
# An address of somewhere else, also with a slash too few: a folder's path begins with no scheme.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class Settings(BaseModel):
    """Where things are and how the night is cut; each field is the variable `ANGELIA_<FIELD>`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(Path("var"), description="folder for everything local: lake, catalog, models, reports")
    lake: str = Field("", description="lake root: a folder or s3://bucket/prefix; default HOME/lake")
    catalog: str = Field("", description="SQLAlchemy URL of the catalog; default sqlite in HOME/catalog.db")
    intake: str = Field("", description="SQLAlchemy URL of the intake; default sqlite in HOME/intake.db")
    intake_follower: str = Field(
        "", description="SQLAlchemy URL of a replica of the intake, from which messages are read"
    )
    models: str = Field("", description="model registry: a folder or s3://bucket/prefix; default HOME/models")
    reports: str = Field("", description="report pages: a folder or s3://bucket/prefix; default HOME/reports")
    branch: str = Field(
        "main", pattern=r"^(main|replay-[A-Za-z0-9_.-]{1,64})$", description="lake branch to write"
    )
    events: str = Field(
        "",
        description="mapping of a Kafka topic for `angelia import --events` and the DAG event_triggers",
    )
    shard_bits: int = Field(
        18, ge=8, le=24, description="log2 of ordinals per shard; fixed by the first index commit"
    )
    lead_hours: int = Field(
        28,
        ge=24,
        le=MAX_LEAD_HOURS,
        description="hours from ds 00:00 UTC to the first planned hour (28 = D+1 04:00)",
    )
    history_days: int = Field(
        28, ge=1, le=365, description="days of user_days that features, curves and training read"
    )
    default_timezone: str = Field(
        "UTC", description="used for users whose timezone is missing or unknown; counted"
    )
    late_days: int = Field(3, ge=0, le=14, description="how many days back late events may still rebuild")
    delivery_slots: int = Field(
        2,
        ge=1,
        le=64,
        description="slots of each Airflow pool deliver_<channel>: workers that share a provider's quota",
    )
    spark_conf: str = Field(
        "",
        description="options of every Spark job: spark.NAME=VALUE, with spaces between, as in "
        "'spark.executor.memory=8g spark.executor.instances=4'",
    )
    s3_endpoint: str | None = Field(None, description="S3 endpoint URL where it is not the provider's own")

    @field_validator("home", "lake", "models", "reports", mode="before")
    @classmethod
    def _place(cls, value: object, info: ValidationInfo) -> object:
        """Read `~`, which no shell reads in a file of variables; refuse an address of another kind."""
        if not isinstance(value, str):
            return value
        kinds = "a folder" if info.field_name == "home" else "a folder or s3://bucket/prefix"
        if ADDRESS.match(value) and (info.field_name == "home" or not value.startswith("s3:/")):
            raise PydanticCustomError("place", "should be {kinds}", {"kinds": kinds})
        return str(Path.home() / value[2:]) if value.startswith("~/") else value

    def lake_url(self) -> str:
        """Return the lake root, absolute if it is a local folder."""
        return self.lake or str(self.home.absolute() / "lake")

    def catalog_url(self) -> str:
        """Return the SQLAlchemy URL of the catalog."""
        return self.catalog or f"sqlite:///{self.home.absolute() / 'catalog.db'}"

    def intake_url(self) -> str:
        """Return the SQLAlchemy URL of the intake database."""
        return self.intake or f"sqlite:///{self.home.absolute() / 'intake.db'}"

    def models_url(self) -> str:
        """Return the root of the model registry, absolute if it is a local folder."""
        return self.models or str(self.home.absolute() / "models")

    def spark_options(self) -> dict[str, str]:
        """Return the options of `spark_conf` by name.

        Raises:
            InvalidInput: a word is no `spark.NAME=VALUE`.
        """
        try:
            words = shlex.split(self.spark_conf)
        except ValueError:
            raise InvalidInput("ANGELIA_SPARK_CONF: a quote is not closed") from None
        if wrong := [word for word in words if not re.fullmatch(r"spark\.[\w.-]+=.*", word)]:
            raise InvalidInput(
                f"ANGELIA_SPARK_CONF: {wrong[0]!r} is not an option of Spark",
                fix="write spark.NAME=VALUE, several with spaces between, values with spaces in quotes",
            )
        return dict(word.split("=", 1) for word in words)

    def metrics_folder(self) -> Path | None:
        """Return the folder of Prometheus textfiles; None where no home is."""
        home = self.home.absolute()
        return home / "metrics" if home.is_dir() else None

    def pace_folder(self) -> Path | None:
        """Return the folder in which processes share the pace of channels; None where no home is."""
        home = self.home.absolute()
        return home / "pace" if home.is_dir() else None

    def reports_dir(self) -> Path:
        """Return the folder that report pages are written to; for a bucket, before they are copied."""
        is_folder = self.reports and not self.reports_bucket()
        return Path(self.reports) if is_folder else self.home.absolute() / "reports"

    def reports_bucket(self) -> str:
        """Return the bucket that report pages are copied to, or an empty text."""
        return self.reports if ADDRESS.match(self.reports) else ""


def _given() -> dict[str, str]:
    return {
        name: os.environ[f"ANGELIA_{name.upper()}"]
        for name in Settings.model_fields
        if os.environ.get(f"ANGELIA_{name.upper()}")
    }


def lasting() -> dict[str, str]:
    """Return the variables that a home's later shells need.

    Folders are absolute. Where a home stands and which branch is written is said anew each time.
    """
    given = {name: value for name, value in _given().items() if name not in ("home", "branch")}
    for name in ("lake", "models", "reports", "events"):
        if name in given and not ADDRESS.match(given[name]):
            given[name] = str(Path(given[name]).absolute())
    return {f"ANGELIA_{name.upper()}": value for name, value in given.items()}


def load_settings() -> Settings:
    """Read `ANGELIA_*` from the environment.

    Raises:
        InvalidInput: a value is out of range, naming the variable.
    """
    try:
        return Settings(**_given())  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(
            f"ANGELIA_{str(first['loc'][0]).upper()}: {first['msg']}, got {first.get('input')!r}"
        ) from None
