"""Pictures in folders and archives: which is a sample of which class, decoded in guarded processes."""
