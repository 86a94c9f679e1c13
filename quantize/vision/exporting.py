"""PyTorch models to ONNX, in a process of its own: it runs their code.

A state dict is read without running anything (``weights_only``), a factory is code of
yours that is run, and a Hugging Face folder is opened by transformers, its safetensors
only.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.preprocessing import Preprocessing
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.onnx_file import QDQ_OPSET

INPUT = "image"
_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"


def export(arguments: Mapping[str, Any], _tell: Tell) -> list[str]:
    """Writes a model as ONNX, and what PyTorch says of some pictures beside it.

    Args:
        arguments: ``source`` and ``weights`` or ``folder``; ``out`` for the model,
            ``pictures`` (.npy, (n, 3, height, width)) and ``said``, a folder.

    Returns:
        The names of its outputs.

    Raises:
        QuantizeError: ``factory_unusable``, ``weights_unusable``, ``folder_unusable``,
            ``export_failed``.
    """
    import torch  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if arguments.get("folder"):
        network = _from_folder(Path(arguments["folder"]))
    else:
        network = _from_factory(arguments["source"], Path(arguments["weights"]))
    network.eval()
    pictures = torch.from_numpy(np.load(arguments["pictures"], allow_pickle=False))
    try:
        with torch.no_grad():
            first = network(pictures[:1])
            outputs = [first] if isinstance(first, torch.Tensor) else list(first)
            names = [f"output_{n}" for n in range(len(outputs))]
            said: dict[str, list[Any]] = {name: [] for name in names}
            for one in pictures:
                found = network(one[None])
                found = [found] if isinstance(found, torch.Tensor) else list(found)
                for name, array in zip(names, found, strict=True):
                    said[name].append(array.numpy())
            torch.onnx.export(
                network,
                (pictures[:1],),
                arguments["out"],
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={name: {0: "n"} for name in (INPUT, *names)},
                opset_version=QDQ_OPSET,
                # Batch normalisation stays: it remembers what it was trained with.
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                dynamo=False,
            )
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise QuantizeError(
            "export_failed",
            f"The network cannot be exported: {_first_line(error)}",
            "It has to take one batch of pictures and give tensors.",
        ) from error
    for name, arrays in said.items():
        np.save(Path(arguments["said"]) / f"{name}.npy", np.concatenate(arrays))
    return names


def preprocessing_of(folder: Path) -> Preprocessing | None:
    """Returns how a Hugging Face folder prepares pictures; none where it says nothing.

    Raises:
        QuantizeError: ``folder_unusable``.
    """
    path = folder / _PROCESSOR
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        height, width = _sides(told.get("crop_size") or told["size"])
        shortest = max(height, *_sides(told.get("size") or height))
        is_normal = told.get("do_normalize", True)
        scale = told.get("rescale_factor", 1 / 255)
        return Preprocessing(
            height=height,
            width=width,
            keep=min(1.0, float(told.get("crop_pct") or height / shortest)),
            filter="bicubic" if told.get("resample", 2) == 3 else "bilinear",
            scale=float(scale) if told.get("do_rescale", True) else 1.0,
            mean=_three(told.get("image_mean", (0, 0, 0))) if is_normal else (0, 0, 0),
            std=_three(told.get("image_std", (1, 1, 1))) if is_normal else (1, 1, 1),
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise QuantizeError(
            "folder_unusable",
            f"{path} does not say how pictures are prepared: {error}.",
            "Say it with --preprocess.",
        ) from error


def _sides(size: Any) -> tuple[int, int]:
    """Returns height and width, however they are told."""
    if isinstance(size, int):
        return size, size
    side = size.get("shortest_edge", 0)
    return int(size.get("height", side)), int(size.get("width", side))


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = map(float, values)
    return first, second, third


def _from_factory(source: str, weights: Path) -> Any:
    import torch  # noqa: PLC0415

    module_name, _, name = source.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        network = getattr(importlib.import_module(module_name), name)()
    except Exception as error:
        raise QuantizeError(
            "factory_unusable",
            f"{source} makes no network: {_first_line(error)}",
            "It is called without arguments, and has to return a torch module.",
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise QuantizeError(
            "factory_unusable", f"{source} returns no torch module.", ""
        )
    network.load_state_dict(_state(weights, network))
    return network


def _state(weights: Path, network: Any) -> Mapping[str, Any]:
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        if weights.suffix == ".safetensors":
            state = load_file(weights)
        else:
            state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        raise QuantizeError(
            "weights_unusable",
            f"{weights} cannot be read without running it: {_first_line(error)}",
            "Save its state dict with safetensors. Pickles with code are refused.",
        ) from error
    wanted, there = set(network.state_dict()), set(state)
    if wanted != there:
        lacking, more = sorted(wanted - there), sorted(there - wanted)
        raise QuantizeError(
            "weights_unusable",
            f"{weights} is of another network: {len(lacking)} tensors are missing "
            f"({', '.join(lacking[:3])}), {len(more)} are too many "
            f"({', '.join(more[:3])}).",
            "Name the factory that it was trained with.",
        )
    return dict(state)


def _from_folder(folder: Path) -> Any:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForImageClassification  # noqa: PLC0415

    class Logits(torch.nn.Module):
        """A classifier that gives its logits alone."""

        def __init__(self, inside: Any) -> None:
            super().__init__()
            self.inside = inside

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inside(pixel_values=image).logits
            return found

    try:
        return Logits(
            AutoModelForImageClassification.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise QuantizeError(
            "folder_unusable",
            f"{folder} holds no image classifier of safetensors: {_first_line(error)}",
            f"It needs {_CONFIG} and model.safetensors; pickles are not opened.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
