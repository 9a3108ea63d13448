"""Arrays with labels: npz, IDX."""
