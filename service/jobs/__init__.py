"""Use cases of jobs: submit, follow references, act on them, end them, judge them, report on them."""
