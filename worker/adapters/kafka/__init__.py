"""Kafka: the input topic, the transactional producer, and what commands do with topics."""
