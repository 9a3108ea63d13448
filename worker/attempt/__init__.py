"""One attempt at a job: its supervisor, its process, what it records."""
