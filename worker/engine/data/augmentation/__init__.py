"""Random operations on batches of images, with random parameters of its own for each sample."""
