"""Persistence only: tables, sessions, and one noun a module."""
