"""The tables. JSON columns hold what a pydantic model wrote; times are aware and UTC."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite itself knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of every table."""

    type_annotation_map = {
        datetime: UtcTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class JobRow(Base):
    """One job; its state here is authoritative."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(12))
    phase: Mapped[str | None] = mapped_column(String(40))
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    spec: Mapped[dict[str, Any]]
    dataset_id: Mapped[str | None] = mapped_column(String(36))
    parent_id: Mapped[str | None] = mapped_column(String(36))
    relation: Mapped[str | None] = mapped_column(String(12))
    """What the job is to its parent, a `Relation`; null without one."""
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    """The fencing token: grows with each claim."""
    lost_attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker_id: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    stop_reason: Mapped[str | None] = mapped_column(String(20))
    resume: Mapped[str | None] = mapped_column(String(12))
    error: Mapped[dict[str, Any] | None]
    next_seq: Mapped[int] = mapped_column(Integer, default=1)
    owner: Mapped[str | None] = mapped_column(String(200))
    """Name of the key that submitted it; None is the administrator's."""
    limits: Mapped[dict[str, Any] | None]
    """What a resume set in place of the spec's `limits`."""
    running_seconds: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    """Of all attempts that have ended."""
    held_until: Mapped[datetime | None]
    """A queued job is not claimed before then: what it needs (a disk, a database) was not to be had."""
    hold_reason: Mapped[str | None] = mapped_column(String(300))
    holds: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Times in a row that it was held; the wait grows with them."""

    __table_args__ = (
        Index("jobs_by_state", "state", "id"),
        Index("jobs_by_kind", "kind", "id"),
        Index("jobs_by_dataset", "dataset_id", "id"),
        Index("jobs_by_parent", "parent_id", "id"),
        Index("jobs_by_owner", "owner", "id"),
        Index("jobs_waiting", "state", "priority", "id"),
    )


class LabelRow(Base):
    """One label of a job, to filter by."""

    __tablename__ = "job_labels"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(String(200))

    __table_args__ = (Index("labels_by_value", "key", "value", "job_id"), Index("labels_by_key", "key", "job_id"))


class DependencyRow(Base):
    """A job that must have ended well before another may start."""

    __tablename__ = "job_dependencies"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    needs_job_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    role: Mapped[str] = mapped_column(String(12))
    """`requires` (a gate), `from_job` (a value), `dataset` (its import)."""

    __table_args__ = (Index("dependencies_by_need", "needs_job_id"),)


class EventRow(Base):
    """One numbered fact about a job."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    time: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(20))
    level: Mapped[str | None] = mapped_column(String(10))
    """Of a log line."""
    data: Mapped[dict[str, Any]]

    __table_args__ = (Index("events_by_type", "job_id", "type", "seq"), {"sqlite_with_rowid": False})


class SeriesRow(Base):
    """One named series of a job."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(300))

    __table_args__ = (UniqueConstraint("job_id", "name"),)


class ChunkRow(Base):
    """Up to some hundred consecutive points of a series, packed (see `points.POINT`)."""

    __tablename__ = "metric_chunks"

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id", ondelete="CASCADE"), primary_key=True)
    first_step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_step: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int] = mapped_column(Integer)
    sketch: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of a full chunk (see `points.sketch`); before `data`, so that SQLite finds it without reading that."""
    data: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = ({"sqlite_with_rowid": False},)


class EpochRow(Base):
    """One epoch's numbers, for the curves."""

    __tablename__ = "epochs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[dict[str, Any]]


class ReportRow(Base):
    """A result by name (`result`, `report:test`, `lr-curve`, ...)."""

    __tablename__ = "reports"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    data: Mapped[dict[str, Any]]


class FileRow(Base):
    """A file of a job or dataset: whichever store holds the bytes, this row names, sizes and hashes them."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(36))
    """Id of the job, dataset or weights."""
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10))
    artifact: Mapped[str] = mapped_column(String(300))
    """Key in the artifact store."""
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    step: Mapped[int] = mapped_column(BigInteger, default=0)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("owner_id", "name"), Index("files_by_artifact", "artifact"))


class DatasetRow(Base):
    """A dataset; its import job fills it."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    state: Mapped[str] = mapped_column(String(12))
    job_id: Mapped[str] = mapped_column(String(36))
    hash: Mapped[str | None] = mapped_column(String(64))
    profile: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(String(200))
    """Name of the key that imported it; None is the administrator's."""
    parent_id: Mapped[str | None] = mapped_column(String(36))
    """The dataset that it was made from."""


class WeightsRow(Base):
    """Start weights that were uploaded; their file is a `FileRow` of this id."""

    __tablename__ = "weights"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    profile: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(String(200))
    """Name of the key that uploaded them; None is the administrator's."""


class FindingRow(Base):
    """A finding of a job, kept over its life."""

    __tablename__ = "findings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(String(60))
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    data: Mapped[dict[str, Any]]
    history: Mapped[list[Any]] = mapped_column(default=list)
    child_id: Mapped[str | None] = mapped_column(String(36))
    """The follow-up job that was made of it last."""
    updated_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("job_id", "rule"),)


class WorkerRow(Base):
    """A worker process, running or lost."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int] = mapped_column(Integer)
    slots: Mapped[int] = mapped_column(Integer)
    devices: Mapped[list[Any]] = mapped_column(default=list)
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    draining: Mapped[bool] = mapped_column(Boolean, default=False)
    version: Mapped[str | None] = mapped_column(String(40))


class KeyRow(Base):
    """An API key; the secret itself is not stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(10))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("keys_by_name", "name", unique=True),)


class SessionRow(Base):
    """A browser's session, opened with an API key; only the SHA-256 of its id is stored."""

    __tablename__ = "sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(8))
    """The key that opened it, and whose end is its end; `admin` is the operator's first key."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ThrottleRow(Base):
    """Failures of one subject (an address, a key's id), shared by every API process."""

    __tablename__ = "throttles"

    subject: Mapped[str] = mapped_column(String(100), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    until: Mapped[datetime]
    """Requests before then are refused."""


class IdempotencyRow(Base):
    """The first answer to a POST with an `Idempotency-Key`."""

    __tablename__ = "idempotency"

    owner: Mapped[str] = mapped_column(String(200), primary_key=True)
    """Name of the key that asked; empty without keys."""
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    answer: Mapped[dict[str, Any]]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class ArtifactRow(Base):
    """A file that the `database:` artifact store holds."""

    __tablename__ = "artifacts"

    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    blob: Mapped[str] = mapped_column(String(36), unique=True)
    """The id of its chunks."""
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))


class ArtifactChunkRow(Base):
    """1 MiB of a file in the `database:` artifact store."""

    __tablename__ = "artifact_chunks"

    blob: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class SweepRow(Base):
    """Who swept last: one sweeper at a time, on every database."""

    __tablename__ = "sweeps"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    swept_at: Mapped[datetime]
