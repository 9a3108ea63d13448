"""Datasets: import, profile, the packed store, and batches on the device."""
