"""Runs the migrations on the engine that `service.store.migrate` hands over, in one transaction."""

from alembic import context
from sqlalchemy import text

from service.store.tables import Base

LOCK = 7_229_846_213
"""Of our own choice: several processes that migrate at once wait for each other."""

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    # One transaction for all: between two of its own another process would run the next migration as well.
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":  # SQLite's transactions exclude each other from their first word
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.run_migrations()
    connection.commit()
