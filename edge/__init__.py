"""The runtime: speech in, typed intents and a reply in character out."""
