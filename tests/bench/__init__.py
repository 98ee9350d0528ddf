"""The bench: workload W through the worker beside two ceilings, in one run, on servers of its own.

It prints ratios and asserts nothing about time: figures drift from machine to machine and from run to run.
`python -m tests.bench --help` tells what can be chosen.
"""
