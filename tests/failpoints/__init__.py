"""Every call that a worker makes to its servers, failed in every way it can fail, in a real worker on real servers."""
