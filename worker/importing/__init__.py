"""From a person's file to a packed dataset with a profile."""
