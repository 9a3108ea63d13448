"""Pictures in folders: layout, decoding in guarded processes, resizing."""
