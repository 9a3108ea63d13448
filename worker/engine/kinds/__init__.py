"""One job kind a file."""
