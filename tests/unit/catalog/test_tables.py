"""The declared tables: migrations end at them, and every server takes them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from angelia.catalog import schema, tables
from angelia.catalog.store import CatalogStore


def test_migrations_end_at_the_declared_tables_and_revision(store: CatalogStore) -> None:
    assert schema._revisions()[-1] == tables.REVISION
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == tables.REVISION


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_the_schema_compiles_for_the_servers(dialect: sa.Dialect) -> None:
    texts = [str(CreateTable(table).compile(dialect=dialect)) for table in tables.metadata.tables.values()]
    assert any(("MEDIUMTEXT" if dialect.name == "mysql" else "BIGSERIAL") in text for text in texts)
