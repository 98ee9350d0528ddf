"""The other half of every workflow: services that answer, and clients that start workflows and await their end.

`service` and what it is made of are pure: a request and a time in, events out. `serving` and `client` are the shells
around it, on Kafka.
"""
