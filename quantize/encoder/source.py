"""A folder with a sentence encoder, checked before anything takes time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize.child import Tell
from quantize.encoder.building import Floats
from quantize.encoder.pieces import Pieces, load_pieces
from quantize.encoder.shape import FAMILIES, Family, Pooling, Shape
from quantize.errors import QuantizeError
from quantize.hf_folder import CONFIG, folder_weights, load_json, load_licence
from quantize.safetensors_file import UNQUANTIZED, Weight, check_finite

_MODULES, _LENGTHS = "modules.json", "sentence_bert_config.json"
_MODES = {
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_cls_token": Pooling.CLS,
}
_POOLS, _NORMALISES, _READS = "Pooling", "Normalize", "Transformer"
_USUAL_EPSILON = 1e-12
_USUAL_PIECES = 128
_AGAIN = "Download or save the model again."
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A sentence encoder in a folder."""

    folder: Path
    shape: Shape
    stored: Mapping[str, Weight]
    """By the names of its family."""
    pieces: Pieces
    licence: str
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.absolute().name

    @property
    def files(self) -> tuple[Path, ...]:
        """All that decides what it makes of a sentence."""
        shards = {one.path for one in self.stored.values()}
        others = [CONFIG, _MODULES, _LENGTHS, "vocab.txt", "tokenizer.json"]
        others += ["tokenizer_config.json", "1_Pooling/config.json"]
        there = {
            self.folder / name for name in others if (self.folder / name).is_file()
        }
        return tuple(sorted(shards | there))

    @property
    def n_bytes(self) -> int:
        """Of its weights."""
        return sum(one.n_bytes for one in self.stored.values())


def load_encoder(folder: Path) -> Encoder:
    """Returns what a folder holds; its weights are not read.

    Raises:
        QuantizeError: ``encoder_missing``, ``encoder_unknown``, ``pooling_unknown``,
            ``tokenizer_missing``, ``tokenizer_unknown``, ``weights_missing``,
            ``weights_quantized``, or as `folder_weights`.
    """
    if not (folder / CONFIG).is_file():
        what = "is no folder" if not folder.is_dir() else f"holds no {CONFIG}"
        raise QuantizeError(
            "encoder_missing",
            f"{folder} is no sentence encoder: it {what}.",
            "Name the folder that save_pretrained or sentence-transformers wrote.",
        )
    config = load_json(folder / CONFIG)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise QuantizeError(
            "encoder_unknown",
            f"{folder / CONFIG} is of the architecture {config.get('model_type')!r}.",
            f"Known architectures are {' and '.join(FAMILIES)}.",
        )
    pooling, notes = _pooling(folder)
    sizes = _sizes(folder, config, family)
    max_pieces = _max_pieces(folder, sizes["n_positions"])
    shape = Shape(
        family=family,
        epsilon=_epsilon(config),
        pooling=pooling,
        max_pieces=max_pieces,
        **sizes,
    )
    pieces = load_pieces(folder, n_words=shape.n_words, max_pieces=max_pieces)
    stored = {
        name.removeprefix(family.prefix): weight
        for name, weight in folder_weights(folder).items()
    }
    for name, sides in _needed(shape).items():
        _check_weight(folder, name, sides, stored)
    return Encoder(
        folder=folder,
        shape=shape,
        stored={name: stored[name] for name in _needed(shape)},
        pieces=pieces,
        licence=load_licence(folder),
        notes=notes,
    )


def read_weights(encoder: Encoder, tell: Tell) -> dict[str, Floats]:
    """Returns all weights as float32, once all are found to be numbers.

    Raises:
        QuantizeError: As `check_finite`.
    """
    check_finite(encoder.stored.values(), lambda done: tell(done, encoder.n_bytes))
    return {name: _read(weight) for name, weight in encoder.stored.items()}


def _read(weight: Weight) -> Floats:
    with weight.path.open("rb") as file:
        file.seek(weight.offset)
        n = weight.n_numbers
        if weight.type_ == "BF16":
            halves = np.fromfile(file, "<u2", n).astype(np.uint32)
            found: Floats = (halves << 16).view(np.float32)
        else:
            found = np.fromfile(file, _DTYPES[weight.type_], n).astype(np.float32)
    return found.reshape(weight.shape)


def _needed(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Returns the weights of an encoder, and their sides."""
    family, names, width = shape.family, shape.family.names, shape.width
    found: dict[str, tuple[int, ...]] = {
        family.words: (shape.n_words, width),
        family.positions: (shape.n_positions, width),
        f"{family.norm}.weight": (width,),
        f"{family.norm}.bias": (width,),
    }
    if family.types:
        found[family.types] = (-1, width)
    for n in range(shape.n_layers):
        at = family.layer.format(n)
        for name in (names.query, names.key, names.value, names.attended):
            found[f"{at}.{name}.weight"] = (width, width)
            found[f"{at}.{name}.bias"] = (width,)
        found[f"{at}.{names.widened}.weight"] = (shape.n_inner, width)
        found[f"{at}.{names.widened}.bias"] = (shape.n_inner,)
        found[f"{at}.{names.narrowed}.weight"] = (width, shape.n_inner)
        found[f"{at}.{names.narrowed}.bias"] = (width,)
        for name in (names.attended_norm, names.narrowed_norm):
            found[f"{at}.{name}.weight"] = (width,)
            found[f"{at}.{name}.bias"] = (width,)
    return found


def _check_weight(
    folder: Path, name: str, sides: tuple[int, ...], stored: Mapping[str, Weight]
) -> None:
    if name not in stored:
        raise QuantizeError(
            "weights_missing",
            f"{folder} holds no {name}, which {CONFIG} speaks of.",
            "Weights and configuration are of two models, or some are missing.",
        )
    found = stored[name]
    fits = len(found.shape) == len(sides) and all(
        wanted in (-1, side) for wanted, side in zip(sides, found.shape, strict=True)
    )
    if not fits:
        raise QuantizeError(
            "weights_missing",
            f"{name} in {found.path} is {' x '.join(map(str, found.shape))}, where "
            f"{CONFIG} speaks of {' x '.join(map(str, sides))}.",
            "Weights and configuration are of two models.",
        )
    if found.type_ not in UNQUANTIZED:
        raise QuantizeError(
            "weights_quantized",
            f"{name} in {found.path} is of {found.type_}: it was quantized before.",
            "Take the model that it was made from.",
        )


def _sizes(folder: Path, config: Mapping[str, Any], family: Family) -> dict[str, int]:
    width, layers, heads, inner, activation = family.settings
    keys = {
        "width": width,
        "n_layers": layers,
        "n_heads": heads,
        "n_inner": inner,
        "n_words": "vocab_size",
        "n_positions": "max_position_embeddings",
    }
    found: dict[str, int] = {}
    for name, key in keys.items():
        value = config.get(key)
        if type(value) is not int or not 0 < value < 1 << 24:
            raise _odd(folder, f'"{key}" is {value!r}')
        found[name] = value
    if found["width"] % found["n_heads"]:
        raise _odd(folder, f'"{heads}" does not divide "{width}"')
    if config.get(activation, "gelu") != "gelu":
        raise _odd(folder, f'"{activation}" is {config[activation]!r}, not "gelu"')
    placed = config.get("position_embedding_type", "absolute")
    if placed != "absolute":
        raise _odd(folder, f'"position_embedding_type" is {placed!r}, not "absolute"')
    return found


def _epsilon(config: Mapping[str, Any]) -> float:
    value = config.get("layer_norm_eps", _USUAL_EPSILON)
    return float(value) if isinstance(value, int | float) else _USUAL_EPSILON


def _pooling(folder: Path) -> tuple[Pooling, tuple[str, ...]]:
    """Returns how pieces become one vector, as the folder says, and what is unusual."""
    if not (folder / _MODULES).is_file():
        note = f"There is no {_MODULES}: the mean over all pieces was taken."
        return Pooling.MEAN, (note,)
    kinds: dict[str, str] = {}
    for module in _list_of(folder / _MODULES):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in (_READS, _POOLS, _NORMALISES):
            raise QuantizeError(
                "pooling_unknown",
                f"{folder / _MODULES} ends with {kind!r}, which is not known here.",
                "Encoders end with a pooling and a normalisation.",
            )
        kinds[kind] = str(module.get("path", ""))
    notes: tuple[str, ...] = ()
    if _NORMALISES not in kinds:
        notes = (f"{_MODULES} does not normalise; here vectors have the length 1.",)
    place = folder / kinds.get(_POOLS, "1_Pooling") / CONFIG
    if not place.resolve().is_relative_to(folder.resolve()):
        raise QuantizeError(
            "pooling_unknown", f"{place} is outside of {folder}.", _AGAIN
        )
    said = load_json(place)
    chosen = [
        key
        for key, value in said.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise QuantizeError(
            "pooling_unknown",
            f"{place} pools by {' and '.join(chosen) or 'nothing'}.",
            f"Known are {' and '.join(_MODES)}, one of them.",
        )
    return _MODES[chosen[0]], notes


def _list_of(path: Path) -> list[dict[str, Any]]:
    import json  # noqa: PLC0415

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, list) or not all(
            isinstance(one, dict) for one in found
        ):
            raise TypeError("it holds no list of objects")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise QuantizeError(
            "config_broken", f"{path} cannot be read as JSON: {error}.", _AGAIN
        ) from error
    return found


def _max_pieces(folder: Path, n_positions: int) -> int:
    path = folder / _LENGTHS
    said = load_json(path).get("max_seq_length") if path.is_file() else None
    most = said if type(said) is int and said > 2 else _USUAL_PIECES
    return min(most, n_positions)


def _odd(folder: Path, what: str) -> QuantizeError:
    return QuantizeError(
        "encoder_unknown",
        f"{folder / CONFIG} describes no encoder that is known here: {what}.",
        "Is it of another architecture than it says?",
    )
