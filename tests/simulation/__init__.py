"""The real runtime and core on simulated servers, in virtual time: a seed is a run, and the same run each time.

`servers` has Kafka and PostgreSQL at the level of the ports. `processes` and `network` put a hook between them and each
worker: every call hands on the `scheduler`'s baton, and may be lost, late, slow, or answered in vain, or be where its
process stops or dies. `nemesis` brings down processes and servers, `workload` is what producers send, `drawing` what
a seed chooses of it all. `watched` servers look at each change, `invariants` at the end of a run. `mutants` leave one
rule of the protocol out each, and have to be found.

What is not here: the ports' adapters, librdkafka and psycopg (tests/contracts holds both sides of a port against one
suite), real brokers' replication, and time that a step takes.
"""
