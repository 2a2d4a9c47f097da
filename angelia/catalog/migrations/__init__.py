"""Schema migrations of the catalog store, run by `angelia.catalog.schema`.

There is no alembic.ini.
"""
