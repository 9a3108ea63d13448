"""A search: its study, its trials, who runs them, and its report."""
