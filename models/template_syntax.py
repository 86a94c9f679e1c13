"""The parser of hassil, and nothing else of it: no YAML, no numbers in words."""

from __future__ import annotations

from models.lean_import import modules_of

with modules_of("hassil"):
    from hassil import expression
    from hassil.parse_expression import parse_sentence
    from hassil.parser import ParseError

__all__ = ["ParseError", "expression", "parse_sentence"]
