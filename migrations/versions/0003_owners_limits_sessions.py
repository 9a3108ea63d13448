"""Owners, limits set by a resume, holds, browser sessions, throttles, start weights, versions of workers."""

import sqlalchemy as sa
from alembic import op

from service.store.tables import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows from before have no owner: they are the administrator's. Repeated names of keys get their id behind them."""
    for column in (
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("limits", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("running_seconds", sa.Float(), nullable=False, server_default="0"),
        sa.Column("held_until", UtcTime(), nullable=True),
        sa.Column("hold_reason", sa.String(length=300), nullable=True),
        sa.Column("holds", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("jobs", column)
    op.create_index("jobs_by_owner", "jobs", ["owner", "id"])
    op.add_column("datasets", sa.Column("owner", sa.String(length=200), nullable=True))
    op.add_column("datasets", sa.Column("parent_id", sa.String(length=36), nullable=True))
    op.add_column("workers", sa.Column("version", sa.String(length=40), nullable=True))
    op.create_index("files_by_artifact", "files", ["artifact"])
    op.drop_column("findings", "outcome")  # what came of a follow-up is computed when it is asked for
    op.execute(
        "UPDATE api_keys SET name = name || ' ' || id "
        "WHERE name IN ('admin', 'anyone', 'limit', 'sweeper', 'worker') OR EXISTS "
        "(SELECT 1 FROM api_keys AS earlier WHERE earlier.name = api_keys.name AND earlier.id < api_keys.id)"
    )
    op.create_index("keys_by_name", "api_keys", ["name"], unique=True)
    op.drop_table("idempotency")  # answers are kept for a day; a key is one owner's now
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(length=200), primary_key=True),
        sa.Column("key", sa.String(length=300), primary_key=True),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(length=64), primary_key=True),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
    )
    op.create_table(
        "throttles",
        sa.Column("subject", sa.String(length=100), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", UtcTime(), nullable=False),
    )
    op.create_table(
        "weights",
        sa.Column("id", sa.String(length=36), primary_key=True),
        sa.Column("name", sa.String(length=100), nullable=False, unique=True),
        sa.Column("profile", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
    )


def downgrade() -> None:
    """What was new is lost."""
    op.drop_table("weights")
    op.drop_table("throttles")
    op.drop_table("sessions")
    op.drop_index("keys_by_name", "api_keys")
    op.drop_column("workers", "version")
    op.drop_index("files_by_artifact", "files")
    op.add_column("findings", sa.Column("outcome", sa.JSON(none_as_null=True), nullable=True))
    op.drop_column("datasets", "parent_id")
    op.drop_column("datasets", "owner")
    op.drop_index("jobs_by_owner", "jobs")
    for column in ("holds", "hold_reason", "held_until", "running_seconds", "limits", "owner"):
        op.drop_column("jobs", column)
    op.drop_table("idempotency")
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=300), primary_key=True),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
    )
