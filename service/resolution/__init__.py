"""A spec in; a resolved spec, refusals, warnings and estimates out."""
