"""What alembic runs; `angelia.catalog.schema` supplies connection, lock and transaction."""

from alembic import context

from angelia.catalog.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction is around all of it
)
context.run_migrations()
