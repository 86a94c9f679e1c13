"""What it costs to take one sound for another.

Costs are on one scale: 0 for the same sound, 1 for one that has little to do with it,
more for a vowel and a consonant, or sounds of two languages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Costs = npt.NDArray[np.float32]
_ENGLISH = Path(__file__).with_name("english_costs.json")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditCosts:
    """The sounds of a language, and what each change of them costs."""

    symbols: tuple[str, ...]
    substitute: Costs
    """(n, n): what was meant, what was heard."""
    delete: Costs
    """(n,): it was meant, and not heard."""
    insert: Costs
    """(n,): it was heard, and not meant."""

    def __or__(self, other: EditCosts) -> EditCosts:
        """Returns the costs of both languages; their sounds have nothing in common."""
        n, m = len(self.symbols), len(other.symbols)
        substitute = np.full((n + m, n + m), 2.0, np.float32)
        substitute[:n, :n] = self.substitute
        substitute[n:, n:] = other.substitute
        return EditCosts(
            symbols=self.symbols + other.symbols,
            substitute=substitute,
            delete=np.concatenate((self.delete, other.delete)),
            insert=np.concatenate((self.insert, other.insert)),
        )


@cache
def english_costs() -> EditCosts:
    """Returns the table for English, as ``benchmarks/fit_costs.py`` fitted it."""
    return load_costs(_ENGLISH)


def load_costs(path: Path) -> EditCosts:
    """Returns the costs in a file as ``save_costs`` writes it."""
    read = json.loads(path.read_bytes())
    return EditCosts(
        symbols=tuple(read["symbols"]),
        substitute=np.array(read["substitute"], np.float32),
        delete=np.array(read["delete"], np.float32),
        insert=np.array(read["insert"], np.float32),
    )


def save_costs(path: Path, costs: EditCosts, about: str) -> None:
    """Writes costs, a sound a line, rounded to hundredths.

    Args:
        path: The file.
        costs: What to write.
        about: How they came to be.
    """
    rows = [json.dumps(_rounded(row)) for row in costs.substitute]
    path.write_text(
        "{\n"
        f' "about": {json.dumps(about)},\n'
        f' "symbols": {json.dumps(costs.symbols)},\n'
        f' "delete": {json.dumps(_rounded(costs.delete))},\n'
        f' "insert": {json.dumps(_rounded(costs.insert))},\n'
        ' "substitute": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n",
        encoding="utf-8",
    )


def _rounded(values: Costs) -> list[float]:
    return [round(float(value), 2) for value in values]
