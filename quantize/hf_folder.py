"""A Hugging Face folder: what is in its files, and whether they belong together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantize.errors import QuantizeError
from quantize.safetensors_file import Weight, load_weights

CONFIG, INDEX, SINGLE = (
    "config.json",
    "model.safetensors.index.json",
    "model.safetensors",
)
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
"""Any one of these sets of files is a tokenizer."""
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
"""Where a chat template lies that is not in the tokenizer's settings."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_MAX_JSON_BYTES = 64 << 20
_LICENCE = re.compile(r"^license:[ \t]*['\"]?([\w.+-]+)", re.MULTILINE)
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def load_json(path: Path) -> dict[str, Any]:
    """Returns the object in a file of a model.

    Raises:
        QuantizeError: ``config_broken``.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise QuantizeError(
            "config_broken",
            f"{path} cannot be read as JSON: {error}.",
            "Download or save it again.",
        ) from error
    return found


def folder_weights(folder: Path) -> dict[str, Weight]:
    """Returns where the tensors of a folder lie, by name.

    Raises:
        QuantizeError: As `load_source`.
    """
    index, single = folder / INDEX, folder / SINGLE
    if index.is_file() and single.is_file():
        raise QuantizeError(
            "weights_broken",
            f"{folder} holds both {SINGLE} and {INDEX}: two models, perhaps.",
            "Remove the one that is not meant.",
        )
    if single.is_file():
        weights = load_weights(single)
    elif index.is_file():
        weights = _load_shards(folder, index)
    else:
        raise _no_weights(folder)
    if not weights:
        raise QuantizeError("weights_missing", f"{folder} holds no tensor.", "")
    return weights


def _no_weights(folder: Path) -> QuantizeError:
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if found:
        shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        return QuantizeError(
            "shard_missing",
            f"{folder} holds {shown}, but neither {SINGLE} nor {INDEX}.",
            "Were files renamed? Download or save the model again.",
        )
    for pattern in PICKLES:
        for path in sorted(folder.glob(pattern)):
            return pickle_refused(path)
    return QuantizeError(
        "weights_missing",
        f"{folder} holds no weights: neither {SINGLE} nor {INDEX}.",
        "Download or save the model again.",
    )


def pickle_refused(path: Path) -> QuantizeError:
    """Returns why a file of weights is not opened."""
    return QuantizeError(
        "pickle",
        f"{path} is a pickle, which can run any code when it is opened.",
        "Convert it to safetensors where you trust it: load it with transformers and "
        "call save_pretrained(FOLDER, safe_serialization=True).",
    )


def _load_shards(folder: Path, index: Path) -> dict[str, Weight]:
    placed = load_json(index).get("weight_map")
    if not isinstance(placed, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in placed.values()
    ):
        raise QuantizeError(
            "config_broken",
            f'{index} has no "weight_map" of file names.',
            "Download or save it again.",
        )
    shards = sorted(set(placed.values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        others = {path.name for path in folder.glob("*.safetensors")} - set(shards)
        found = f" It does hold {', '.join(sorted(others))}." if others else ""
        raise QuantizeError(
            "shard_missing",
            f"{len(missing)} of the {len(shards)} files of weights that {index} names "
            f"are not in its folder: {', '.join(missing[:5])}.{found}",
            "Give files that were renamed their names back; download what is missing.",
        )
    weights: dict[str, Weight] = {}
    for name in shards:
        for key, weight in load_weights(folder / name).items():
            if placed.get(key) != name:
                raise _unlike_index(index, key, f"is in {name}")
            weights[key] = weight
    for key, name in placed.items():
        if key not in weights:
            raise _unlike_index(index, key, f"is not in {name}")
    return weights


def _unlike_index(index: Path, key: str, what: str) -> QuantizeError:
    return QuantizeError(
        "shard_missing",
        f"{key} {what}, unlike {index} has it.",
        "Files of two models may be mixed: download or save the model again.",
    )


def check_layers(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, Weight]
) -> None:
    """Refuses a folder that has no weights for some of its layers.

    Raises:
        QuantizeError: ``layer_missing``.
    """
    inner = config.get("text_config")
    counted = inner if isinstance(inner, Mapping) else config
    n_layers = counted.get("num_hidden_layers")
    found = {int(match[1]) for name in weights if (match := _LAYER.search(name))}
    if not isinstance(n_layers, int) or not found or n_layers > 1 << 16:
        return
    absent = sorted(set(range(n_layers)) - found)
    if absent:
        raise QuantizeError(
            "layer_missing",
            f"{folder / CONFIG} speaks of {n_layers} layers, but the weights of "
            f"{len(absent)} are not there (the first is layer {absent[0]}).",
            "Weights and configuration are of two models, or weights are missing.",
        )


def check_tokenizer(folder: Path) -> None:
    """Refuses a folder that nobody could talk to.

    Raises:
        QuantizeError: ``tokenizer_missing`` or ``template_missing``.
    """

    def holds(names: Sequence[str]) -> bool:
        return all((folder / name).is_file() for name in names)

    if not any(map(holds, TOKENIZERS)):
        raise QuantizeError(
            "tokenizer_missing",
            f"{folder} holds no tokenizer: "
            f"{' or '.join(map(' and '.join, TOKENIZERS))}.",
            "Copy the tokenizer's files from the base model.",
        )
    if not holds([TOKENIZER_CONFIG]):
        raise QuantizeError(
            "tokenizer_missing",
            f"{folder} holds no {TOKENIZER_CONFIG}, which says what ends an answer.",
            "Copy it from the base model.",
        )
    if not load_template(folder):
        raise no_template(folder)


def load_template(folder: Path) -> str:
    """Returns a folder's chat template; empty where there is none."""
    jinja, in_json = (folder / name for name in TEMPLATES)
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8", errors="replace").strip()
    for path in (in_json, folder / TOKENIZER_CONFIG):
        found = load_json(path).get("chat_template") if path.is_file() else None
        match found:
            case str() if found.strip():
                return found
            case [*named]:  # several, by name
                by_name = {
                    str(one.get("name")): str(one.get("template", ""))
                    for one in named
                    if isinstance(one, dict)
                }
                return by_name.get("default", "")
            case _:
                pass
    return ""


def no_template(path: Path) -> QuantizeError:
    """Returns what is wrong with a model without a chat template."""
    return QuantizeError(
        "template_missing",
        f"{path} has no chat template: nobody could tell it who says what.",
        "Take the template that it was fine-tuned with: copy chat_template.jinja, or "
        'the entry "chat_template" of tokenizer_config.json, from its base model.',
    )


def load_licence(folder: Path) -> str:
    """Returns the licence in the front matter of the model card."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    text = card.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---"):
        return ""
    found = _LICENCE.search(text.split("\n---", 1)[0])
    return found[1] if found else ""
