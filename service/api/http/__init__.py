"""What every router shares of HTTP: problems, event streams, ranges, bodies, answers, the contract."""
