"""Sentence encoders: small, and as near to their source as the guard asks."""
