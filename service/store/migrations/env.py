"""Runs migrations on the connection that `schema` opened."""

from alembic import context

from service.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a table in place.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
