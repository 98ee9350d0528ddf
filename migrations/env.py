"""Run migrations on the connection that `worker.adapters.postgres.migrate` opened and locked."""

from alembic import context

from worker.adapters.postgres.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
