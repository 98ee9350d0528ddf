"""The worker's HTTP server, for probes and scrapers."""
