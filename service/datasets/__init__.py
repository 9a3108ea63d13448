"""Use cases of datasets: uploads, imports, samples."""
