"""Which picture is a sample of which class and split: pure functions over the names of files."""
