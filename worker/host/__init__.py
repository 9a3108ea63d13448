"""The process that listens for jobs, and the machine it runs on."""
