"""What an operator can see of a worker: metrics in one table, and what health says. It stands around the ports."""
