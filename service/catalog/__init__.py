"""Facts by name: architectures, known datasets, and what is usual."""
