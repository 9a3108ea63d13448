"""One resource a file: paths, parameters and status codes; the use cases do the work."""
