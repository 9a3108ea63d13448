"""Packed datasets as batches on a device."""
