"""`headside quantize vision`: a vision model in eight bits, and what that cost.

Load, check, calibrate, quantize, repair, evaluate, report.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from models.disk import disk_failures, require_free
from models.preprocessing import FILE
from quantize.artifact import ArtifactReport
from quantize.child import in_silence
from quantize.errors import QuantizeError
from quantize.made import manifest_name
from quantize.onnx_session import Array
from quantize.placing import place, require_absent
from quantize.stage import Clock, Stage
from quantize.vision.evaluation import say
from quantize.vision.job import MODEL, Job, Request
from quantize.vision.judging import published, refusal
from quantize.vision.making import quantized
from quantize.vision.network import Network, prepared
from quantize.vision.photographs import crops, divided, load_photographs, numbers
from quantize.vision.source import (
    exported,
    find_preprocessing,
    find_source,
    picture_input,
)
from quantize.vision.trained import check_trained

_N_CHECKED = 16
"""Pictures on which an export is checked."""
_ROOM = 4
"""Times the size of the model that is needed on the disk."""


def quantize_vision(request: Request, stage: Stage) -> ArtifactReport:
    """Makes a model small, publishes it with its report, and returns that.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much: then nothing is
            published, and the error names where the report is.
    """
    clock = Clock(stage)
    require_absent(request.out)
    with tempfile.TemporaryDirectory() as folder:
        job = _load(request, clock, Path(folder))
        found = quantized(job)
        name = manifest_name(request.out)
        unsaid = {MODEL, FILE, f"{name}.toml"}
        return place(
            request.out,
            lambda beside: published(job, found, beside),
            is_kept=lambda file: file not in unsaid,
            refusal=refusal,
        )


def _load(request: Request, clock: Clock, folder: Path) -> Job:
    """Returns what is needed, once it was checked."""
    with clock.at("checking the source"):
        source = find_source(request.source, request.weights)
        how = find_preprocessing(source, request.preprocess)
        photographs = load_photographs(request.calibration)
        others = load_photographs(request.evaluation) if request.evaluation else []
        calibrating, judging = divided(photographs, others)
        parent = request.out.absolute().parent
        with disk_failures(parent):
            parent.mkdir(parents=True, exist_ok=True)
        some = crops(calibrating, how, _N_CHECKED, seed=0)
        model = exported(source, how, numbers(some, how), folder)
        require_free(parent, _ROOM * model.ByteSize())
        name = picture_input(model, how)
        notes = [check_trained(Network(model), how, some)]
        if source.factory:
            notes.append(f"The code of {source.factory} was run to make the network.")
        network = prepared(model, request.threads)
        for array in say(
            network.model, name, numbers(some[:1], how), threads=1, tell=in_silence
        ).outputs[0]:
            if not _is_finite(array):
                raise QuantizeError(
                    "output_not_finite",
                    f"{source.name} answers with what is no number.",
                    "The training went wrong; take an earlier checkpoint.",
                )
    return Job(
        request=request,
        clock=clock,
        source=source,
        how=how,
        network=network,
        input=name,
        calibrating=calibrating,
        judging=judging,
        notes=[note for note in notes if note],
    )


def _is_finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())
