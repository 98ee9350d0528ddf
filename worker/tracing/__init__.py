"""Spans around executions, by OpenTelemetry's API: which SDK records them, if any, is the application's affair.

Without an SDK, and where a sampler drops an execution, nothing is gathered and events keep the trace headers that
they came with.
"""

from worker.tracing.execution import ExecutionTrace, InheritFrom, Part, trace_execution
from worker.tracing.messaging import trace_handling, trace_sending
from worker.tracing.spans import Traced

__all__ = ["ExecutionTrace", "InheritFrom", "Part", "Traced", "trace_execution", "trace_handling", "trace_sending"]
