"""How well a pack is understood: recordings or text in, a score out."""
