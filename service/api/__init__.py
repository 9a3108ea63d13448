"""The HTTP API: thin routers over the use cases, middleware around them."""
