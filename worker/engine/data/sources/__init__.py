"""Sources of raw data, one a file."""
