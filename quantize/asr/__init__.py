"""Whisper made small: weights of eight bits on the disk, and what they cost."""
