"""Databases by address: drivers we ship, refusals that name no address, early locks."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.databases import address, make_engine, writing
from angelia.errors import AngeliaError, InvalidInput


def engine_of(url: str, pragmas: tuple[str, ...] = ()) -> sa.Engine:
    return make_engine(url, "ANGELIA_CATALOG", "the catalog", connect_s=1, options={}, pragmas=pragmas)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/n", "postgresql+psycopg"),
        ("mysql://u@h/n", "mysql+pymysql"),
        ("mariadb://u@h/n", "mariadb+pymysql"),
        ("sqlite:////tmp/a.db", "sqlite"),
        ("postgresql+asyncpg://u@h/n", "postgresql+asyncpg"),
    ],
)
def test_a_plain_address_gets_the_driver_we_ship(url: str, driver: str) -> None:
    assert address(url, "ANGELIA_CATALOG").drivername == driver


@pytest.mark.parametrize("url", ["secret words", "nosuchbase://u:secret@h/n"])
def test_a_refused_address_is_named_by_its_variable_alone(url: str) -> None:
    with pytest.raises(InvalidInput, match="ANGELIA_CATALOG is not a SQLAlchemy URL") as refused:
        engine_of(url)
    assert "secret" not in refused.value.one_line()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="cannot live in memory"):
        engine_of(url)


def test_a_folder_is_made_or_the_refusal_says_why(tmp_path: Path) -> None:
    engine_of(f"sqlite:///{tmp_path}/new/folder/a.db").dispose()
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(AngeliaError, match="cannot make the folder of the catalog"):
        engine_of(f"sqlite:///{tmp_path}/file/a.db")


def test_a_writer_takes_the_lock_before_its_first_statement(tmp_path: Path) -> None:
    engine = engine_of(f"sqlite:///{tmp_path}/a.db", pragmas=("busy_timeout = 0",))
    with writing(engine), pytest.raises(sa.exc.OperationalError, match="locked"), writing(engine):
        pass
    with engine.begin() as reader, writing(engine) as writer:
        assert reader.exec_driver_sql("SELECT 1").scalar() == 1
        writer.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    engine.dispose()


def test_a_failed_writer_leaves_no_table(tmp_path: Path) -> None:
    engine = engine_of(f"sqlite:///{tmp_path}/a.db")

    def fill_and_fail() -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
            connection.exec_driver_sql("SELECT nothing FROM nowhere")

    with pytest.raises(sa.exc.OperationalError, match="nowhere"):
        fill_and_fail()
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_mariadb_connections_load_no_authorities_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """pymysql loads the system's for each connection, and checks none of them."""
    loaded: list[str] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self, *words: loaded.append("system's"))
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda self, *words: loaded.append("own"))
    engine = engine_of("mariadb://u:p@127.0.0.1:1/n")
    with pytest.raises(sa.exc.OperationalError, match="Can't connect"), engine.connect():
        pass
    assert loaded == []
    asking = engine_of("mariadb://u:p@127.0.0.1:1/n?ssl_ca=/a/file.pem")
    with pytest.raises(sa.exc.OperationalError, match="Can't connect"), asking.connect():
        pass
    assert loaded == ["own"]
