"""PostgreSQL: the schema, its migrations, and everything that reads and writes it."""
