"""The language model, which lies beneath both intents and dialogue."""
