"""Random operations on batches of images, drawn for each sample."""
