"""Trainwright's service: the contract, the database and the HTTP API. It never imports torch."""
