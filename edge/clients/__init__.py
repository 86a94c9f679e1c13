"""Clients of the service: Python here, JavaScript beside it."""
