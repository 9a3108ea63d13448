"""What every router shares of HTTP: problems, event streams, ranges, bodies, serializers, the contract."""
