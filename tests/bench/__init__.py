"""The bench: workload W through the worker, what others would use instead and the ceilings, in one run.

The servers are its own. It prints ratios and asserts nothing about time: figures drift from machine to machine and from
run to run. `python -m tests.bench --help` tells what can be chosen; `python -m tests.bench.page` writes the page.
"""
