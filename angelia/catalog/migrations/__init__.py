"""Schema migrations of the catalog store, run by `angelia.catalog.schema`; there is no alembic.ini."""
