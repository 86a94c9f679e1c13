"""A Whisper of Hugging Face's becomes one of CTranslate2's, in float32.

Adapters are merged on the way. All of it happens in a process of its own, without
network and without code that the model brings.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from quantize.asr.job import CONFIG, PREPROCESSOR, TOKENIZER
from quantize.child import Tell, in_child
from quantize.converter_process import refuse_network, refuse_own_code
from quantize.errors import QuantizeError

_MAX_SAID = 400
"""Characters of a library's own words in a message."""


def convert(source: Path, adapters: Sequence[Path], out: Path, tell: Tell) -> None:
    """Writes a folder in CTranslate2's format.

    Args:
        source: A folder that `quantize.asr.source` found in order.
        adapters: Merged into it, the first one first.
        out: Appears whole or not at all; what is there is replaced.
        tell: Told how many adapters are merged, and of how many.

    Raises:
        QuantizeError: ``extra_missing``, ``conversion_failed``, ``unwritable`` or
            ``child_died``.
    """
    beside = out.with_name(f"{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        in_child(
            _convert,
            {
                "source": str(source.absolute()),
                "adapters": [str(path.absolute()) for path in adapters],
                "out": str(beside.absolute()),
            },
            doing=f"Converting {source}",
            tell=tell,
        )
        for name in (TOKENIZER, PREPROCESSOR):
            if (source / name).is_file():
                shutil.copyfile(source / name, beside / name)
        shutil.rmtree(out, ignore_errors=True)
        beside.replace(out)
    except OSError as error:
        raise QuantizeError(
            "unwritable",
            f"{error.filename or out} cannot be written: {error.strerror or error}.",
            "Choose another place, or make room.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _convert(arguments: Mapping[str, Any], tell: Tell) -> None:
    refuse_network()
    source, out = arguments["source"], Path(arguments["out"])
    try:
        refuse_own_code()
        converters = import_module("ctranslate2.converters")
        transformers = import_module("transformers")
        model = _merged(transformers, arguments, tell)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, use_fast=True, local_files_only=True
        )

        class Converter(converters.TransformersConverter):  # type: ignore[misc,name-defined]
            """CTranslate2's own, given what is loaded already."""

            def load_model(self, *_what: object, **_how: object) -> Any:
                return model

            def load_tokenizer(self, *_what: object, **_how: object) -> Any:
                return tokenizer

        out.parent.mkdir(parents=True, exist_ok=True)
        Converter(source).convert(str(out), quantization="float32")
        tokenizer.backend_tokenizer.save(str(out / TOKENIZER))
        _without_nothing(out / CONFIG)
    except ModuleNotFoundError as error:
        raise QuantizeError(
            "extra_missing",
            f"Converting needs the package {error.name}, which is not installed.",
            "Install headside[quantize].",
        ) from error
    except QuantizeError:
        raise
    except Exception as error:
        said = str(error).strip().rstrip(".")[:_MAX_SAID]
        raise QuantizeError(
            "conversion_failed",
            f"CTranslate2's converter failed on {source}: {type(error).__name__}: "
            f"{said}.",
            "Was the model saved with transformers, and the adapter with PEFT?",
        ) from error


def _merged(transformers: Any, arguments: Mapping[str, Any], tell: Tell) -> Any:
    """Returns the model in a folder, all of it there, with its adapters in it."""
    folder, adapters = arguments["source"], arguments["adapters"]
    found = transformers.WhisperForConditionalGeneration.from_pretrained(
        folder,
        dtype=import_module("torch").float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    model, told = found
    lost = [*told["missing_keys"], *told["mismatched_keys"]]
    if lost:
        raise ValueError(f"{folder} has no fitting {lost[0]}")
    for n_done, adapter in enumerate(adapters):
        tell(n_done, len(adapters))
        wrapped = import_module("peft").PeftModel.from_pretrained(
            model, adapter, local_files_only=True
        )
        model = wrapped.merge_and_unload(safe_merge=True)
    return model


def _without_nothing(path: Path) -> None:
    """Leaves out of a configuration what is said to be nothing: it cannot be read."""
    found = json.loads(path.read_text(encoding="utf-8"))
    told = {key: value for key, value in found.items() if value is not None}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
