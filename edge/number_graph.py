"""How numbers are said, as a graph of words: what ``number_words`` can read, or more.

Whoever walks the graph still has the words read as a number, and checks its bounds.
"""

from __future__ import annotations

from functools import cache

from edge.template_graph import build_graph
from edge.word_graph import WordGraph
from models.pack import Template
from models.template import parse_template

_RULES = {
    "one": "(one|two|three|four|five|six|seven|eight|nine)",
    "teen": (
        "(ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
        "nineteen)"
    ),
    "tens": "(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)",
    "ten": "(<one>|<teen>|<tens> [<one>])",
    "hundred": "(<ten>|(a|<one>) hundred [[and] <ten>])",
    "thousand": "(<hundred>|(a|<hundred>) thousand [[and] <hundred>])",
    "part": "(half|a half|a quarter|three quarters|a third)",
}


@cache
def number_graph(most: float, *, signed: bool, units: tuple[str, ...]) -> WordGraph:
    """Returns the graph of numbers in English.

    Args:
        most: Numbers go up to about this.
        signed: Whether they may be negative.
        units: Words one of which follows; none for a bare number.
    """
    whole = "ten" if most < 100 else "hundred" if most < 1000 else "thousand"
    number = f"(zero|<{whole}>) [point (zero|<one>) [(zero|<one>)]]"
    minus = "[minus|negative] " if signed else ""
    if units:
        unit = f"({'|'.join(units)})"
        says = [
            f"{minus}{number} {unit}",
            f"{minus}(a|an|<{whole}>) {unit} and <part>",
            f"{minus}<{whole}> and <part> {unit}",
            f"<part> [of] [a|an] {unit}",
            f"(a|an|a couple of|a dozen) {unit}",
        ]
    else:
        says = [f"{minus}{number}", "(a couple|a dozen|<part>)"]
    templates = [_template(says_one) for says_one in says]
    return build_graph(templates, rules=_rules(), file="numbers")


@cache
def _rules() -> dict[str, Template]:
    return {name: _template(text) for name, text in _RULES.items()}


def _template(text: str) -> Template:
    return Template(text=text, line=1, tree=parse_template(text))
