"""Responses: what clients get to see."""
