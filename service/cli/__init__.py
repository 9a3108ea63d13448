"""The command line: HTTP clients, and the commands that run the service."""
