"""How words sound, and which sounds are taken for which."""
