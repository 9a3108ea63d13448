"""What is wrong with a run, on what evidence, and what to submit next: pure rules over a run record."""
