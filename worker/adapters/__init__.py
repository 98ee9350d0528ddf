"""What talks to the world: Kafka, PostgreSQL, and servers of our own."""
