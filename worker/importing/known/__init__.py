"""Datasets by name: built-in ones and those of torchvision."""
