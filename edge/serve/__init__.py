"""The loopback service that a game talks to."""
