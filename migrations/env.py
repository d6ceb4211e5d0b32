"""Alembic's door. posguard.postgres.migrate opens the connection, takes the migrators' lock and calls it."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_version",
    version_table_schema="posguard",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
