"""Zip and tar archives, and folders: what they hold is listed, and hazards are refused, before a byte is unpacked."""
