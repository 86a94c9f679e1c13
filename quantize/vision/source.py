"""A vision model to be made small, from wherever it comes, as ONNX that was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from models.preprocessing import Preprocessing, load_preprocessing
from quantize.child import in_child
from quantize.errors import QuantizeError
from quantize.made import sha256_of
from quantize.onnx_file import load_onnx
from quantize.onnx_session import Array, open_session, run
from quantize.vision.exporting import export, preprocessing_of

_APART = 1e-3
"""Of the largest number that PyTorch gives, by which ONNX may differ."""
_EXAMPLE = (
    "size = [224, 224], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be made small."""

    name: str
    path: Path | None
    """An ONNX file, or a Hugging Face folder."""
    factory: str = ""
    """``module:function`` that makes the network; its code is run."""
    weights: Path | None = None
    """Its state dict."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a Hugging Face folder."""
        return self.path is not None and self.path.is_dir()

    def sha256(self) -> str:
        """Returns the hash of its bytes; of a folder, of its files."""
        if self.weights is not None:
            told = f"{self.factory} {sha256_of(self.weights)}"
            return hashlib.sha256(told.encode()).hexdigest()
        if self.path is not None and self.path.is_file():
            return sha256_of(self.path)
        files = sorted(self.path.iterdir()) if self.path is not None else []
        told = " ".join(
            f"{one.name} {sha256_of(one)}" for one in files if one.is_file()
        )
        return hashlib.sha256(told.encode()).hexdigest()


def find_source(source: str, weights: Path | None) -> Source:
    """Returns what somebody named.

    Raises:
        QuantizeError: ``source_missing``, ``weights_missing``.
    """
    path = Path(source)
    if path.exists():
        return Source(name=path.absolute().name, path=path)
    if ":" not in source:
        raise QuantizeError(
            "source_missing",
            f"There is no {source}.",
            "Name an .onnx file, a Hugging Face folder, or module:factory.",
        )
    if weights is None or not weights.is_file():
        raise QuantizeError(
            "weights_missing",
            f"{source} makes a network without what it learned"
            + (f": there is no {weights}." if weights else "."),
            "Name its state dict with --weights.",
        )
    return Source(name=weights.stem, path=None, factory=source, weights=weights)


def find_preprocessing(source: Source, path: Path | None) -> Preprocessing:
    """Returns how pictures are prepared for a model.

    Raises:
        QuantizeError: ``preprocess_missing``, ``preprocess_wrong``.
        ModelError: ``preprocess_invalid``.
    """
    told = None
    if source.is_folder and source.path is not None:
        told = preprocessing_of(source.path)
    given = load_preprocessing(path) if path is not None else None
    if given is None and told is None:
        raise QuantizeError(
            "preprocess_missing",
            f"{source.name} does not say how its pictures are prepared.",
            f"Write it into a file for --preprocess, such as: {_EXAMPLE}.",
        )
    if given is not None and told is not None:
        _require_same(given, told, path)
    found = given or told
    if found is None:
        raise QuantizeError("preprocess_missing", f"{source.name} says nothing.", "")
    return found


def exported(
    source: Source, how: Preprocessing, pictures: Sequence[Array], folder: Path
) -> onnx.ModelProto:
    """Returns a model as ONNX, once it was seen to say what PyTorch says.

    Args:
        source: What it comes from.
        how: How pictures are prepared.
        pictures: Some, as it is given them.
        folder: For files on the way.

    Raises:
        QuantizeError: As `load_onnx` and `export`; ``export_differs``.
    """
    if source.path is not None and not source.is_folder:
        return load_onnx(source.path)
    if how.layout != "nchw":
        raise QuantizeError(
            "preprocess_wrong", "PyTorch takes colours first.", 'Say layout = "nchw".'
        )
    files = {"out": folder / "exported.onnx", "pictures": folder / "pictures.npy"}
    np.save(files["pictures"], np.concatenate(pictures))
    names = in_child(
        export,
        {
            "source": source.factory,
            "weights": str(source.weights or ""),
            "folder": str(source.path or ""),
            "said": str(folder),
            **{name: str(path) for name, path in files.items()},
        },
        doing=f"Exporting {source.name}",
    )
    model = load_onnx(files["out"])
    session = open_session(files["out"], threads=1)
    apart, most = 0.0, 0.0
    for n, picture in enumerate(pictures):
        for name, ours in zip(
            names, run(session, {session.get_inputs()[0].name: picture}), strict=True
        ):
            theirs = np.load(folder / f"{name}.npy", mmap_mode="r")[n : n + 1]
            apart = max(apart, float(np.abs(ours - theirs).max()))
            most = max(most, float(np.abs(theirs).max()))
    if not apart <= _APART * max(most, 1e-6):
        raise QuantizeError(
            "export_differs",
            f"ONNX says something else than PyTorch: {apart:.3g} apart, of numbers up "
            f"to {most:.3g}.",
            "The exporter does not know an operator of the network as it is.",
        )
    return model


def picture_input(model: onnx.ModelProto, how: Preprocessing) -> str:
    """Returns the name of the input that pictures go into.

    Raises:
        QuantizeError: ``input_unusable``, ``input_differs``.
    """
    stored = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise QuantizeError(
            "input_unusable",
            f"The model takes {len(inputs)} inputs ({names}); one picture is given.",
            "Export it with its other inputs as constants.",
        )
    (one,) = inputs
    tensor = one.type.tensor_type
    shape = [dim.dim_value for dim in tensor.shape.dim]
    if tensor.elem_type != onnx.TensorProto.FLOAT or len(shape) != 4:
        raise QuantizeError(
            "input_unusable",
            f"{one.name} is no batch of pictures in float32.",
            "Export it with an input of (n, 3, height, width).",
        )
    wanted = (
        (3, how.height, how.width)
        if how.layout == "nchw"
        else (how.height, how.width, 3)
    )
    if any(size and size != want for size, want in zip(shape[1:], wanted, strict=True)):
        raise QuantizeError(
            "input_differs",
            f"{one.name} is of shape {json.dumps(shape)}, and pictures are prepared as "
            f"{json.dumps([0, *wanted])} (0 for any).",
            "Mend size and layout of the preprocessing.",
        )
    return str(one.name)


def _require_same(given: Preprocessing, told: Preprocessing, path: Path | None) -> None:
    for name in ("order", "scale", "mean", "std"):
        ours, theirs = getattr(given, name), getattr(told, name)
        is_same = ours == theirs or (
            name != "order" and np.allclose(ours, theirs, rtol=1e-3)
        )
        if not is_same:
            raise QuantizeError(
                "preprocess_wrong",
                f"{path} says {name} = {ours}, and the folder of the model {theirs}.",
                "Leave out --preprocess, or mend it.",
            )
