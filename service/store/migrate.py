"""The schema changes only through Alembic; the service refuses to start on one that is not current."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

import migrations
from service.errors import SchemaError

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic takes a fifth of the API's import time, so it is imported where it is used.


def _config(engine: Engine | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Brings the database to the revision, by default this code's schema; does nothing when it is there already."""
    from alembic import command

    command.upgrade(_config(engine), revision)


def check_schema(engine: Engine) -> None:
    """Raises SchemaError unless the database's schema is the one this code needs."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    needed = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != needed:
        raise SchemaError(
            f"the database schema is at {current or 'nothing'}, this version needs {needed}: run `trainwright migrate`"
        )
