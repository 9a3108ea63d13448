"""Trainwright's worker: claims jobs and runs the PyTorch engine in a process of its own."""
