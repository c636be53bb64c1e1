"""Alembic runs this; `store.migrated` hands it the connection."""

from alembic import context

from codeact.chats.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
