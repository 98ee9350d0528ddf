"""The pure core: events, subjects, contracts, machines and the step; no I/O, clock or randomness."""
