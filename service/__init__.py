"""Trainwright's service: the contract, the truth and the HTTP face. It never imports torch."""
