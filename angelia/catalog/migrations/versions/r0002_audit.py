"""Create the audit trail, and fill it from the versions at hand.

It also records what makes no version, such as a stop.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the trail; one entry per version so far, in order of time."""
    op.create_table(
        "catalog_audit",
        sa.Column(
            "entry", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("at_ts", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("detail", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=True),
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )
    op.execute(
        "INSERT INTO catalog_audit (at_ts, actor, action, kind, id, version, detail) "
        "SELECT at_ts, actor, action, kind, id, version, changed FROM catalog_versions ORDER BY "
        "at_ts, kind, id, version"
    )


def downgrade() -> None:
    """Drop the trail; stops and resumes stay in the lake's log."""
    op.drop_table("catalog_audit", if_exists=True)
