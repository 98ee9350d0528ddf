"""A worker to try out: servers and sample services of its own, and orders that flow through it."""
