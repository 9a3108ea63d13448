"""Names the worker of a job as such, tells when workers were last notified, and says what a job is to its parent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Renames in place; until now only the runners of a search were parts of their parent."""
    op.alter_column("jobs", "owner", new_column_name="worker_id")
    op.alter_column("jobs", "rung_at", new_column_name="notified_at")
    op.add_column("jobs", sa.Column("relation", sa.String(length=12), nullable=True))
    op.execute("UPDATE jobs SET relation = 'child' WHERE kind = 'tune-runner'")
    op.execute("UPDATE jobs SET relation = 'follow-up' WHERE kind <> 'tune-runner' AND parent_id IS NOT NULL")


def downgrade() -> None:
    """The old names again; what a job was to its parent is lost."""
    op.drop_column("jobs", "relation")
    op.alter_column("jobs", "notified_at", new_column_name="rung_at")
    op.alter_column("jobs", "worker_id", new_column_name="owner")
