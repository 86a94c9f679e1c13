"""The process in which PEFT merges adapters into a model.

It is imported by what starts that process, so the libraries of the extra are imported
by the work itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from quantize.child import Tell
from quantize.converter_process import (
    refuse_network,
    refuse_own_code,
)
from quantize.errors import QuantizeError

DTYPES = ("float32", "bfloat16", "float16")
_MAX_SAID = 400
"""Characters of a library's own words in a message."""


def run_merge(request: Mapping[str, Any], tell: Tell) -> None:
    """Merges, as `quantize.adapters` asks.

    Args:
        request: ``base``, ``adapters``, ``out``, ``dtype``, ``is_untied``.
        tell: Told how many adapters are merged, and of how many.

    Raises:
        QuantizeError: ``extra_missing`` or ``merge_failed``.
    """
    refuse_network()
    at = request["base"]
    try:
        refuse_own_code()
        model = _load(at, request["dtype"])
        if request["is_untied"]:
            _untie(model)
        for n_done, at in enumerate(request["adapters"]):
            tell(n_done, len(request["adapters"]))
            model = _merged(model, at)
        at = request["out"]
        model.save_pretrained(at, safe_serialization=True)
    except ModuleNotFoundError as error:
        raise QuantizeError(
            "extra_missing",
            f"Merging adapters needs the package {error.name}, which is not installed.",
            "Install headside[quantize].",
        ) from error
    except Exception as error:
        said = str(error).strip().rstrip(".")[:_MAX_SAID]
        raise QuantizeError(
            "merge_failed",
            f"Merging stopped at {at}: {type(error).__name__}: {said}.",
            "Was the adapter trained on this base, with PEFT?",
        ) from error


def _load(folder: str, dtype: str) -> Any:
    """Returns the model in a folder, all of it there."""
    model, told = import_module("transformers").AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(import_module("torch"), dtype),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    lost: Sequence[Any] = [*told["missing_keys"], *told["mismatched_keys"]]
    if lost:
        raise ValueError(f"{folder} has no fitting {lost[0]}")
    return model


def _untie(model: Any) -> None:
    """Gives a model a head of its own, equal to its embedding."""
    torch = import_module("torch")
    words = model.get_input_embeddings().weight.detach()
    model.get_output_embeddings().weight = torch.nn.Parameter(words.clone())
    model.config.tie_word_embeddings = False


def _merged(model: Any, adapter: str) -> Any:
    """Returns a model with an adapter in it."""
    wrapped = import_module("peft").PeftModel.from_pretrained(
        model, adapter, local_files_only=True
    )
    return wrapped.merge_and_unload(safe_merge=True)
