"""`make bench`: every claim as a ratio measured side by side in one run."""
