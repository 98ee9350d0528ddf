"""How the cost of an event grows: with what an instance has behind it, with what is stored, with sizes and shapes.

It runs the worker's own batches (decode, lock, read, steps, write, COMMIT) on a PostgreSQL of its own, without Kafka,
which only the axis `domains` needs. `python -m tests.bench.growth --help` tells what can be chosen.
"""
