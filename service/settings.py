"""Every setting, read once from the environment (prefix `TRAINWRIGHT_`)."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """How this process is set up; docs/settings.md repeats what stands here."""

    model_config = SettingsConfigDict(env_prefix="TRAINWRIGHT_", frozen=True, extra="ignore")

    home: Path = Path("~/.trainwright")
    """Folder of the embedded database, the artifacts, caches and scratch files."""
    database_url: str | None = None
    """SQLAlchemy URL. Default: `sqlite:///HOME/trainwright.db`; Postgres: `postgresql+psycopg://user:password@host/db`."""
    database_connections: int = Field(default=20, ge=2)
    """Most connections of a process to Postgres; those of all processes must stay below its `max_connections`."""
    broker_url: str | None = None
    """Redis or Valkey. Default: a Valkey of the service's own on `HOME/broker.sock`."""
    artifact_url: str | None = None
    """`file:FOLDER` (default `file:HOME/artifacts`), or `database:` for chunks in the database."""
    data_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders that imports and weights may be read from, separated by `:`; the same for the API and the workers."""
    allow_downloads: bool = False
    """Whether imports may download a known dataset (into `HOME/downloads`) when no data root has it."""
    auth: Literal["off", "keys"] = "off"
    """`off` works on a loopback address only; `keys` asks for an API key."""
    admin_key: SecretStr | None = None
    """A first key with the scope admin, to create others with: 43 random characters or more."""
    session_seconds: float = Field(default=12 * 3600.0, gt=0)
    """A browser that signed in has to do so again after this long."""
    host: str = "127.0.0.1"
    """Address that the API listens on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port that the API listens on."""
    header_seconds: float = Field(default=20.0, gt=0)
    """A connection that takes longer to send a request's headers is closed."""
    worker_slots: int = Field(default=1, ge=1, le=64)
    """Jobs that one worker runs at once."""
    lease_seconds: float = Field(default=60.0, gt=0)
    """A worker that does not renew its claim for this long has lost the job; it renews at a sixth of it."""
    hold_seconds: float = Field(default=5.0, gt=0)
    """First wait of a job that met a full disk or a lost database; it doubles each time, up to 10 minutes."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts that may be lost to crashes before a job fails."""
    sweep_seconds: float = Field(default=15.0, gt=0)
    """Time between two sweeps."""
    renotify_seconds: float = Field(default=30.0, gt=0)
    """Workers are notified again of a job that has been queued for this long since the last message."""
    stop_poll_seconds: float = Field(default=0.5, gt=0)
    """How often a worker asks whether a job is to be cancelled or paused."""
    grace_seconds: float = Field(default=30.0, ge=0)
    """Time a job has to stop by itself before its process is killed."""
    min_free_bytes: int = Field(default=200 * 2**20, ge=0)
    """Free bytes below which `/readyz` calls a volume full."""
    max_upload_bytes: int = Field(default=20 * 2**30, ge=1)
    """Largest upload."""
    max_body_bytes: int = Field(default=2**20, ge=1024)
    """Largest JSON or YAML body."""
    max_queue_length: int = Field(default=1000, ge=1)
    """Waiting jobs beyond which a submission is answered 429."""
    memory_limit_bytes: int | None = Field(default=None, ge=2**28)
    """Memory that one training process may allocate; larger datasets are streamed, a job that needs more fails."""
    max_epochs: int = Field(default=10_000, ge=1)
    """Most epochs a spec may ask for."""
    max_parameters: int = Field(default=1_000_000_000, ge=1)
    """Most parameters a model may have."""

    keep_days: float | None = Field(default=None, gt=0, le=36_500)
    """Jobs that ended longer ago lose their files, then their records; nothing that an open job needs."""
    keep_bytes: int | None = Field(default=None, ge=0)
    """Bytes of all ended jobs' files and series; beyond, the oldest lose their files, then their records."""

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
        return value

    @field_validator("home")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @cached_property
    def database(self) -> str:
        """The database's URL with its default filled in."""
        return self.database_url or f"sqlite:///{self.home}/trainwright.db"

    @cached_property
    def broker(self) -> str:
        """The broker's URL with its default filled in."""
        return self.broker_url or f"redis+socket://{self.home}/broker.sock"

    @cached_property
    def scratch(self) -> Path:
        """Folder of what running attempts write; it may be a volume of its own."""
        return self.home / "scratch"

    @cached_property
    def artifact_folder(self) -> Path | None:
        """The artifact store's folder; None when it is none."""
        scheme, _, rest = self.artifacts.partition(":")
        return Path(rest.removeprefix("//")).expanduser() if scheme == "file" else None

    @cached_property
    def artifacts(self) -> str:
        """The artifact store's URL with its default filled in."""
        return self.artifact_url or f"file:{self.home}/artifacts"


def load_settings() -> Settings:
    """The settings of a process of the service; what that writes from now on is for its own user alone.

    SystemExit names a setting whose file cannot be read.
    """
    os.umask(0o077)
    values: dict[str, Any] = dict(_values_from_files())
    return Settings(**values)


def _values_from_files() -> Iterator[tuple[str, str]]:
    """Settings whose text is in a file that `TRAINWRIGHT_<NAME>_FILE` names, as secrets of containers are."""
    for field in Settings.model_fields:
        variable = f"TRAINWRIGHT_{field.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path:
            continue
        if variable in os.environ:
            raise SystemExit(f"{variable} and {variable}_FILE are both set: give one of them")
        try:
            yield field, Path(path).read_text().strip()
        except (OSError, UnicodeError) as error:
            raise SystemExit(f"{variable}_FILE: {path} cannot be read: {error}") from error
