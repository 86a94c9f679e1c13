"""Shows what an ONNX file is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from models.disk import size_text
from quantize.onnx_inspection import OnnxInspection, Port

_N_OPERATORS = 12
"""That are named."""


def show_onnx(
    console: Console, found: OnnxInspection, row: Callable[[Console, str, str], None]
) -> None:
    """Prints what is in a file.

    Args:
        console: Where to.
        found: What is in it.
        row: Prints a label and a text.
    """
    row(console, "made by", found.producer or "nobody that the file names")
    row(console, "size", f"{size_text(found.n_bytes)}, opset {found.opset}")
    _ports(console, "inputs", found.inputs, row)
    _ports(console, "outputs", found.outputs, row)
    named = [f"{n} {name}" for name, n in found.operators.items()]
    more = ["..."] if len(named) > _N_OPERATORS else []
    row(console, "operators", ", ".join([*named[:_N_OPERATORS], *more]))
    row(console, "int8", f"{found.int8_weights:.0%} of the weights")
    if found.int8_products is not None:
        text = f"{found.int8_products:.0%} of the multiply-adds with weights"
        row(console, "", text)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("type")
    for title in ("tensors", "weights", "size"):
        table.add_column(title, justify="right")
    n_all = sum(share.n_weights for share in found.weights)
    for share in found.weights:
        table.add_row(
            share.type,
            str(share.n_tensors),
            f"{share.n_weights / max(1, n_all):.1%}",
            size_text(share.n_bytes),
        )
    console.print()
    console.print(table)


def _ports(
    console: Console,
    label: str,
    ports: Sequence[Port],
    row: Callable[[Console, str, str], None],
) -> None:
    for n, port in enumerate(ports):
        shape = " x ".join(map(str, port.shape)) or "one number"
        row(console, "" if n else label, f"{port.name}: {port.type}, {shape}")
