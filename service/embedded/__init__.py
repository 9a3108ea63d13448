"""API, worker and broker as one command on one machine."""
