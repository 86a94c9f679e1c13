"""How Mandarin says numbers, as a graph: what ``number_words_zh`` can read, or more.

Whoever walks the graph still has the words read as a number, and checks its bounds.
"""

from __future__ import annotations

from functools import cache

from edge.template_graph import build_graph
from edge.word_graph import WordGraph
from models.pack import Template
from models.template import parse_template

_PERCENT = "百分之"
_RULES = {
    "one": "(一|二|两|三|四|五|六|七|八|九)",
    "ten": "(<one>|[<one>]十[<one>])",
    "hundred": "(<ten>|<one>百[[零]<ten>])",
    "thousand": "(<hundred>|<one>千[[零]<hundred>])",
    "million": "(<thousand>|<thousand>万[[零]<thousand>])",
}


@cache
def number_graph_zh(most: float, *, signed: bool, units: tuple[str, ...]) -> WordGraph:
    """Returns the graph of numbers in Mandarin.

    Args:
        most: Numbers go up to about this.
        signed: Whether they may be negative.
        units: Words one of which follows; none for a bare number.
    """
    sizes = {100: "ten", 1_000: "hundred", 10_000: "thousand"}
    whole = next((name for size, name in sizes.items() if most < size), "million")
    minus = "[负]" if signed else ""
    number = f"(零|<{whole}>)[点(零|<one>)[(零|<one>)]]"
    says = [f"{minus}{number}", "[一]半"]
    following = [unit for unit in units if unit != _PERCENT]
    if following:
        unit = f"({'|'.join(following)})"
        says = [f"{minus}{number}[个]{unit}[半]", f"(<{whole}>个半|[一]半[个]){unit}"]
    if _PERCENT in units:
        says.append(f"{minus}{_PERCENT}({number}|百)")
    templates = [_template(said) for said in says]
    return build_graph(templates, rules=_rules(), file="numbers")


@cache
def _rules() -> dict[str, Template]:
    return {name: _template(text) for name, text in _RULES.items()}


def _template(text: str) -> Template:
    return Template(text=text, line=1, tree=parse_template(text))
