"""The execution engines: the only place that knows sismic."""
