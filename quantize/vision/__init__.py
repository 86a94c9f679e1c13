"""Vision models to int8: one method a file."""
