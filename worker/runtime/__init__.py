"""The batch runtime: it knows Kafka and PostgreSQL by their ports alone."""
