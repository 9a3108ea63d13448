"""One job kind a file, and what only that kind needs."""
