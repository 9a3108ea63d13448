"""What is wrong with a dataset: the findings of its profile."""
