"""Documents and every version of them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _long() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "catalog_documents",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", _long(), nullable=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("at_ts", sa.String(32), nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "catalog_versions",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", _long(), nullable=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("at_ts", sa.String(32), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("changed", _long(), nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )


def downgrade() -> None:
    """Drop both tables: the catalog is gone (its snapshots in the lake are not)."""
    op.drop_table("catalog_versions", if_exists=True)
    op.drop_table("catalog_documents", if_exists=True)
