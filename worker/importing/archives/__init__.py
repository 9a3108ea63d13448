"""Zip and tar archives: listed and refused before a byte is unpacked."""
