"""A Kafka stream-processing worker that runs event-driven workflows written as statecharts."""
