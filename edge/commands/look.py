"""`headside look`: what a vision model says of pictures, and how long it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.text import Text

from edge.commands.options import Device, Threads
from edge.seeing import find_vision, load_names, load_vision
from edge.vision import N_LABELS, Label, Output, Seen, VisionError, VisionModel
from models.errors import HeadsideError
from models.pictures import load_pixels
from models.plain import CONTROLS
from models.preprocessing import Pixels
from models.store import Store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_LABEL_WIDTH = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long something took, over several times."""

    median_ms: float
    p95_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Spread:
        """Returns the median and the 95th percentile."""
        median, p95 = np.percentile(times_ms, [50, 95])
        return cls(median_ms=float(median), p95_ms=float(p95))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of one picture."""

    picture: Path
    width: int
    height: int
    seen: Seen
    """Of the first look, which is slower than the others."""
    prepare: Spread
    run: Spread
    """Of those after the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From what to what the numbers of an output go."""

    least: float | None
    """None where none of them is finite."""
    most: float | None
    n_not_finite: int

    @classmethod
    def of(cls, output: Output) -> Range:
        """Returns the range of those that are finite."""
        numbers = np.asarray(output.values, np.float64)
        finite = numbers[np.isfinite(numbers)]
        return cls(
            least=float(finite.min()) if finite.size else None,
            most=float(finite.max()) if finite.size else None,
            n_not_finite=numbers.size - finite.size,
        )

    def __str__(self) -> str:
        told = (
            "no number"
            if self.least is None
            else f"{self.least:.4g} to {self.most:.4g}"
        )
        return told + (f", {self.n_not_finite} not finite" if self.n_not_finite else "")


@app.command()
def look_command(  # noqa: PLR0913, PLR0917 - one parameter an option
    images: Annotated[
        list[Path],
        typer.Argument(
            help="PNG, JPEG or WebP.", metavar="IMAGE...", show_default=False
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="A folder that `headside quantize vision` made, a model in the store, "
            "or an .onnx file."
        ),
    ],
    preprocess: Annotated[
        Path | None,
        typer.Option(
            help="What is done to pictures first; preprocess.toml beside the model if "
            "not said."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Names of the classes, one a line.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="How many classes to tell.")
    ] = N_LABELS,
    device: Device = "desktop",
    threads: Threads = None,
    repeats: Annotated[
        int, typer.Option(min=1, max=100_000, help="How often to look, for the times.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for machines.")
    ] = False,
) -> None:
    """Say what a vision model makes of pictures, and how long that takes.

    Pictures are prepared as the model's preprocess.toml says. The graph that
    onnxruntime optimises at the first start is kept, and read at the next one.

    For example: headside look photo.jpg --model small --labels imagenet.txt
    """
    try:
        for image in images:
            _require_picture(image)
        files = find_vision(model, preprocess, Store.default())
        names = load_names(labels) if labels else ()
        sight = load_vision(files, device=device, threads=threads, names=names)
        show = _lines if as_json else _page
        try:
            show(files.model, sight, _looks(images, sight, top, repeats))
        finally:
            sight.close()
    except HeadsideError as error:
        if as_json:
            from edge.commands.events import error_line  # noqa: PLC0415

            typer.echo(error_line(error))
        raise


def _require_picture(path: Path) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise VisionError(
            "picture_missing", f"The picture {path} {what}.", "Check the path."
        )


def _looks(
    images: Sequence[Path], sight: VisionModel, top: int, repeats: int
) -> Iterator[Looked]:
    for image in images:
        yield _look(image, load_pixels(image), sight, top, repeats)


def _look(
    image: Path, pixels: Pixels, sight: VisionModel, top: int, repeats: int
) -> Looked:
    first = sight.look(pixels, top)
    again = [sight.look(pixels, top) for _ in range(repeats)]
    height, width, _ = pixels.shape
    return Looked(
        picture=image,
        width=width,
        height=height,
        seen=first,
        prepare=Spread.of([seen.prepare_ms for seen in again]),
        run=Spread.of([seen.run_ms for seen in again]),
    )


def _lines(path: Path, sight: VisionModel, found: Iterator[Looked]) -> None:
    start = sight.start
    _line(
        "model",
        path=str(path),
        load_ms=round(start.load_ms, 2),
        trial_ms=round(start.trial_ms, 2),
        graph_from_disk=start.is_kept,
    )
    for one in found:
        _line(
            "seen",
            picture=str(one.picture),
            width=one.width,
            height=one.height,
            labels=[_label(label) for label in one.seen.labels],
            outputs=[_output(output) for output in one.seen.outputs],
            first_ms=round(one.seen.prepare_ms + one.seen.run_ms, 2),
            prepare_ms=_spread(one.prepare),
            run_ms=_spread(one.run),
        )


def _line(kind: str, **fields: Any) -> None:
    # All in ASCII: names of files need not be text.
    typer.echo(json.dumps({"type": kind, **fields}))


def _label(label: Label) -> dict[str, Any]:
    return {
        "number": label.number,
        "name": label.name or None,
        "confidence": round(label.confidence, 6),
    }


def _output(output: Output) -> dict[str, Any]:
    span = Range.of(output)
    return {
        "name": output.name,
        "shape": list(output.values.shape),
        "type": str(output.values.dtype),
        "least": span.least,
        "most": span.most,
        "n_not_finite": span.n_not_finite,
    }


def _spread(spread: Spread) -> dict[str, float]:
    return {"median": round(spread.median_ms, 3), "p95": round(spread.p95_ms, 3)}


def _page(path: Path, sight: VisionModel, found: Iterator[Looked]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    start = sight.start
    _row(console, "model", str(path))
    came = "from disk" if start.is_kept else "made now"
    tried = (
        f", after a trial of {start.trial_ms / 1000:.1f} s in a process of its own"
        if start.trial_ms
        else ""
    )
    _row(console, "start", f"{start.load_ms:.1f} ms, optimised graph {came}{tried}")
    for one in found:
        console.print()
        _row(console, "picture", f"{one.picture}, {one.width} x {one.height}")
        for label in one.seen.labels:
            told = f"{label.number:>5}  {label.name}".rstrip()
            _row(console, f"{label.confidence:.1%}", told, style="bold green")
        if not one.seen.labels:
            for output in one.seen.outputs:
                shape = " x ".join(map(str, output.values.shape)) or "one number"
                told = (
                    f"{output.name}: {shape}, {output.values.dtype}, {Range.of(output)}"
                )
                _row(console, "output", told)
        for name, spread in (("prepare", one.prepare), ("run", one.run)):
            _row(
                console,
                name,
                f"{spread.median_ms:.2f} ms (95th percentile {spread.p95_ms:.2f})",
                style="dim",
            )


def _row(console: Console, label: str, text: str, *, style: str = "") -> None:
    row = Text(f"{label:>{_LABEL_WIDTH}}  ", style="dim")
    row.append(text.translate(CONTROLS), style=style or "not dim")
    console.print(row)
