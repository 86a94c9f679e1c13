"""Vision models beside the one that they came from, on the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from models.preprocessing import FILE, Preprocessing, load_preprocessing
from quantize.artifact import Way
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.onnx_file import load_onnx
from quantize.vision.evaluation import Said, findings, say
from quantize.vision.job import MODEL
from quantize.vision.photographs import Crop, numbers
from quantize.vision.source import picture_input


def compared(
    reference: Path,
    models: Mapping[str, Path],
    some: Sequence[Crop],
    how: Preprocessing,
    *,
    threads: int,
    tell: Tell,
) -> list[Way]:
    """Returns what each model says otherwise than a reference.

    Args:
        reference: An .onnx file, or a folder that holds ``model.onnx``.
        models: The same, by name.
        some: Pictures.
        how: How they are prepared.
        threads: How many work.
        tell: Told how many pictures are done.

    Raises:
        HeadsideError: A model cannot be used.
    """
    pictures, sources = numbers(some, how), [one.source for one in some]

    def said(model: onnx.ModelProto) -> Said:
        name = picture_input(model, how)
        return say(model, name, pictures, threads=threads, tell=tell)

    first = said(load_onnx(_file(reference)))
    found = []
    for name, path in models.items():
        file = _file(path)
        found.append(
            Way(
                name=name,
                n_bytes=file.stat().st_size,
                findings=findings(first, said(load_onnx(file)), sources),
            )
        )
    return found


def _file(path: Path) -> Path:
    return path / MODEL if path.is_dir() else path


def shared_preprocessing(paths: Sequence[Path]) -> Preprocessing:
    """Returns how models say that pictures are prepared; all have to say the same.

    Raises:
        QuantizeError: ``preprocess_missing`` or ``preprocess_differs``.
    """
    files = [path / FILE for path in paths if (path / FILE).is_file()]
    if not files:
        raise QuantizeError(
            "preprocess_missing",
            f"None of the models says how its pictures are prepared: no {FILE}.",
            "Name the file that does with --preprocess.",
        )
    told = [load_preprocessing(file) for file in files]
    for file, one in zip(files, told, strict=True):
        if one != told[0]:
            raise QuantizeError(
                "preprocess_differs",
                f"{files[0]} and {file} prepare pictures in different ways.",
                "Say with --preprocess which of them is right.",
            )
    return told[0]
