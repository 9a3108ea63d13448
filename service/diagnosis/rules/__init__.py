"""One rule a file: a pure function from a run record to a finding."""
