"""Speech models beside the one that they came from, on the same recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from quantize.artifact import Finding, Way
from quantize.asr.comparison import findings, paired, real_time_factor
from quantize.asr.inspection import is_ctranslate2
from quantize.asr.listening import SOURCE, listen
from quantize.asr.recordings import load_recordings
from quantize.asr.report import TOOLS
from quantize.asr.source import files_together, model_files
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.kept import Kept
from quantize.made import versions


def compared(
    reference: Path,
    models: Mapping[str, Path],
    *,
    evaluation: Path | None,
    language: str,
    threads: int,
    tell: Tell,
) -> list[Way]:
    """Returns what each model hears otherwise than a reference.

    The reference is computed in float32, the models in eight bits, as in the runtime.

    Args:
        reference: A folder in CTranslate2's format, in float16 or float32.
        models: The same, of any type, by name.
        evaluation: A folder of recordings; those of the store where None.
        language: Of what is said.
        threads: How many work.
        tell: Told how many sounds are done.

    Raises:
        HeadsideError: A model or a recording cannot be used.
    """
    if not is_ctranslate2(reference):
        raise QuantizeError(
            "source_unknown",
            f"{reference} is not in CTranslate2's format, as what it is compared with.",
            "Name the folder with the model.bin that both were made from.",
        )
    recordings = load_recordings(evaluation)
    folders = {SOURCE: reference, **models}
    files = [files_together(name, model_files(one)) for name, one in folders.items()]
    kept = Kept(
        "asr",
        *(one.sha256 for one in files),
        json.dumps([language, threads, versions(TOOLS)]),
    )
    heard = listen(
        folders,
        recordings,
        language=language,
        threads=threads,
        kept=kept.path("beside.jsonl"),
        tell=tell,
    )
    return [
        Way(
            name=name,
            n_bytes=one.n_bytes,
            findings=[
                *findings(heard, paired(heard, recordings, name), name),
                Finding(
                    name="real_time_factor",
                    value=real_time_factor(heard, name),
                    told="Seconds for a second of speech.",
                ),
            ],
        )
        for name, one in zip(models, files[1:], strict=True)
    ]
