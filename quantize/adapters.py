"""Adapters, as PEFT trains them, become part of the model that they were trained on.

Shapes are compared with the base's first: an adapter of another base is refused before
anything is loaded. The merging itself is PEFT's, in float32, in a process of its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.child import Tell, in_child
from quantize.errors import QuantizeError
from quantize.hf_folder import (
    CONFIG,
    TEMPLATES,
    TOKENIZER_CONFIG,
    TOKENIZERS,
    folder_weights,
    load_json,
)
from quantize.merging import DTYPES, run_merge
from quantize.safetensors_file import Weight, check_finite, load_weights

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_INNER = ".base_layer"
"""Between a module and its own weights, where PEFT has put itself around it."""
_EMBEDDING, _HEAD = "model.embed_tokens", "lm_head"
_LOW_RANK = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B"
    r"|lora_magnitude_vector|lora_bias)(?:\.weight|\.bias)?"
)
_OF_TOKENIZER = frozenset(
    {
        *(name for names in TOKENIZERS for name in names),
        *TEMPLATES,
        TOKENIZER_CONFIG,
        "added_tokens.json",
        "special_tokens_map.json",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An adapter that fits its base."""

    path: Path
    modules: tuple[str, ...]
    """What it changes, sorted."""
    rank: int
    has_tokenizer: bool
    """It brings the tokenizer and template that it was trained with."""


def load_adapter(path: Path, base: Path) -> Adapter:
    """Returns an adapter whose every tensor fits the base model.

    Args:
        path: Its folder.
        base: The folder of the model.

    Raises:
        QuantizeError: ``adapter_missing``, ``adapter_unknown``, ``adapter_misfit``,
            ``pickle``, ``config_broken``, ``weights_broken``, ``weights_not_finite``.
    """
    settings = _load_settings(path)
    weights = load_weights(path / WEIGHTS)
    check_finite(weights.values(), lambda _n_bytes: None)
    shapes = {name: weight.shape for name, weight in folder_weights(base).items()}
    if f"{_HEAD}.weight" not in shapes and f"{_EMBEDDING}.weight" in shapes:
        shapes[f"{_HEAD}.weight"] = shapes[f"{_EMBEDDING}.weight"]
    modules = {
        _check_fits(path, base, weight, shapes, settings) for weight in weights.values()
    }
    if not modules:
        raise QuantizeError("adapter_unknown", f"{path / WEIGHTS} is empty.", "")
    rank = settings.get("r")
    return Adapter(
        path=path,
        modules=tuple(sorted(modules)),
        rank=rank if isinstance(rank, int) else 0,
        has_tokenizer=(path / TOKENIZER_CONFIG).is_file()
        and any(all((path / one).is_file() for one in names) for names in TOKENIZERS),
    )


def files_of(path: Path) -> list[Path]:
    """Returns all of an adapter's files that decide what a model becomes, sorted."""
    names = {SETTINGS, WEIGHTS, *_OF_TOKENIZER}
    return sorted(one for one in path.iterdir() if one.name in names)


def _in_silence(_done: int, _of: int) -> None:
    """Tells no one."""


def merge(
    base: Path,
    adapters: Sequence[Path],
    out: Path,
    *,
    dtype: str = DTYPES[0],
    tell: Tell = _in_silence,
) -> None:
    """Writes a folder: the base with adapters merged into it, the first one first.

    The tokenizer is that of the last adapter that brings one, else the base's.

    Args:
        base: A folder that `quantize.source` found in order.
        adapters: Folders.
        out: Appears whole or not at all; must not be there.
        dtype: What it is merged and saved in, one of ``DTYPES``. float32 loses nothing
            and takes 4 bytes of memory per weight.
        tell: Told how many adapters are merged, and of how many.

    Raises:
        QuantizeError: As `load_adapter`, and ``out_exists``, ``unwritable``,
            ``extra_missing``, ``merge_failed``, ``child_died``.
    """
    if out.exists():
        raise QuantizeError("out_exists", f"{out} is there.", "Name another folder.")
    found = [load_adapter(path, base) for path in adapters]
    beside = out.with_name(f"{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        in_child(
            run_merge,
            {
                "base": str(base.absolute()),
                "adapters": [str(path.absolute()) for path in adapters],
                "out": str(beside.absolute()),
                "dtype": dtype,
                "is_untied": any(_unties(base, adapter) for adapter in found),
            },
            doing=f"Merging {', '.join(map(str, adapters))} into {base}",
            tell=tell,
        )
        tokenizers = [adapter.path for adapter in found if adapter.has_tokenizer]
        _copy_tokenizer((tokenizers or [base])[-1], base, beside)
        beside.replace(out)
    except OSError as error:
        raise QuantizeError(
            "unwritable",
            f"{error.filename or out} cannot be written: {error.strerror or error}.",
            "Choose another place, or make room.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _load_settings(path: Path) -> dict[str, Any]:
    if not (path / SETTINGS).is_file():
        raise QuantizeError(
            "adapter_missing",
            f"{path} holds no {SETTINGS}.",
            "Name the folder that PEFT's save_pretrained wrote.",
        )
    if not (path / WEIGHTS).is_file():
        is_pickle = (path / "adapter_model.bin").is_file()
        raise QuantizeError(
            "pickle" if is_pickle else "adapter_missing",
            f"{path} holds no {WEIGHTS}"
            + (", only a pickle, which could run any code." if is_pickle else "."),
            "Save the adapter with PEFT's save_pretrained(safe_serialization=True).",
        )
    settings = load_json(path / SETTINGS)
    kind = settings.get("peft_type")
    if kind != "LORA" or settings.get("megatron_config"):
        raise QuantizeError(
            "adapter_unknown",
            f"{path / SETTINGS} is of an adapter of type {kind}, not of a plain LORA.",
            "Merge it yourself with PEFT, and name the merged folder as the source.",
        )
    return settings


def _check_fits(
    path: Path,
    base: Path,
    weight: Weight,
    shapes: Mapping[str, tuple[int, ...]],
    settings: Mapping[str, Any],
) -> str:
    """Returns the module that a tensor of an adapter changes."""
    name = weight.name.removeprefix(_PREFIX).replace(_INNER, "")
    found = _LOW_RANK.fullmatch(name)
    if found is None:  # a whole matrix, or a bias, that was trained besides
        module, kind = name.rpartition(".")[::2]
        if shapes.get(name) != weight.shape:
            raise _misfit(path, base, settings, name, weight.shape, shapes.get(name))
        return module if kind in {"weight", "bias"} else name
    module, part = found["module"], found["part"]
    shape = shapes.get(f"{module}.weight")
    if settings.get("fan_in_fan_out") and shape:
        shape = shape[::-1]
    if shape is None or len(shape) != 2:
        raise _misfit(path, base, settings, module, weight.shape, shape)
    n_out, n_in = shape
    fits = {
        "lora_A": weight.shape[-1:] == (n_in,),
        "lora_B": weight.shape[:1] == (n_out,),
        "lora_embedding_A": weight.shape[-1:] == (n_out,),
        "lora_embedding_B": weight.shape[:1] == (n_in,),
        "lora_magnitude_vector": weight.n_numbers in {n_out, n_in},
        "lora_bias": weight.shape == (n_out,),
    }
    if not fits[part]:
        raise _misfit(path, base, settings, module, weight.shape, shape)
    return module


def _misfit(
    path: Path,
    base: Path,
    settings: Mapping[str, Any],
    module: str,
    shape: tuple[int, ...],
    wanted: tuple[int, ...] | None,
) -> QuantizeError:
    its_own = settings.get("base_model_name_or_path") or "an unnamed one"
    what = (
        f"whose {module} is {' x '.join(map(str, wanted))}; the adapter brings "
        f"{' x '.join(map(str, shape))}"
        if wanted
        else f"which has no {module}"
    )
    return QuantizeError(
        "adapter_misfit",
        f"The adapter {path} was trained on another model than {base}, {what}. "
        f"The base it names is {its_own}.",
        "Name the base that it was trained on.",
    )


def _unties(base: Path, adapter: Adapter) -> bool:
    """Returns whether an adapter changes head or embedding where both are one matrix.

    PEFT would change the other with it, which the adapter was not trained for.
    """
    is_tied = f"{_HEAD}.weight" not in folder_weights(base)
    return is_tied and bool({_EMBEDDING, _HEAD} & set(adapter.modules))


def _copy_tokenizer(taken: Path, base: Path, out: Path) -> None:
    """Copies a tokenizer, and of the base what is neither that nor weights."""
    for name in _OF_TOKENIZER:
        if (taken / name).is_file():
            shutil.copyfile(taken / name, out / name)
    jinja = taken / TEMPLATES[0]
    has_own = jinja.is_file() or "chat_template" in load_json(taken / TOKENIZER_CONFIG)
    for name in () if has_own else TEMPLATES:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    card = base / "README.md"
    if card.is_file():
        shutil.copyfile(card, out / card.name)
    if not (out / CONFIG).is_file():
        raise QuantizeError("merge_failed", f"{out} has no {CONFIG}.", "")
