"""Arrays with labels: NumPy archives and IDX files."""
