"""Writes a speech model with all that belongs to it; publishes it if it is good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from models.ctranslate2_file import int8_variables, load_ctranslate2, save_ctranslate2
from quantize.artifact import (
    PAGE,
    REPORT,
    ArtifactReport,
    LostTooMuchError,
    save_report,
)
from quantize.artifact_html import as_html
from quantize.asr.cost import Cost, measure_cost
from quantize.asr.job import MODEL, TOKENIZER, Job
from quantize.asr.listening import COMPUTED, IN_RUNTIME, SOURCE, THIS, Heard, listen
from quantize.asr.report import TOOLS, Measured, report_of
from quantize.asr.source import model_files
from quantize.hf_folder import load_json
from quantize.kept import Kept
from quantize.made import Made, save_manifest, sha256_of, versions
from quantize.placing import place
from quantize.stage import Clock


def publish(job: Job, clock: Clock) -> ArtifactReport:
    """Writes the model and everything beside it; publishes it if it lost little.

    Raises:
        HeadsideError: Something was wrong, or the model lost too much.
    """
    return place(
        job.request.out,
        lambda folder: _written(job, folder, clock),
        is_kept=lambda name: name in {REPORT, PAGE},
        refusal=lambda report, refused: LostTooMuchError(
            report,
            f"What it heard otherwise is in {refused / PAGE}. Few recordings make a "
            "rough figure: give more with --eval; or allow more with --guard-wer and "
            "--guard-shift-ms.",
        ),
    )


def write_int8(floats: Path, folder: Path) -> None:
    """Writes a model with weights of eight bits, and what belongs to it."""
    model = load_ctranslate2(floats / MODEL)
    save_ctranslate2(folder / MODEL, model, int8_variables(model))
    for path in model_files(floats):
        if path.name == TOKENIZER:
            # As tokenizers writes it, half of it is white space.
            found = load_json(path)
            short = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
            (folder / path.name).write_text(short, encoding="utf-8")
        elif path.name != MODEL:
            shutil.copyfile(path, folder / path.name)


def _written(job: Job, folder: Path, clock: Clock) -> ArtifactReport:
    """Writes the model, its report and its manifest."""
    request = job.request
    with clock.at("quantizing"):
        write_int8(job.floats, folder)
    heard = _heard(job, folder, clock)
    costs = _costs(job, folder, clock)
    report = report_of(job, Measured(heard=heard, costs=costs), folder, clock)
    save_report(folder, report, as_html(report))
    error = report.findings[0]
    made = Made(
        kind="asr",
        format="ctranslate2",
        licence=report.licence,
        parent=job.source.name,
        method=report.method,
        hashes={"the source": job.source.files.sha256},
        tools=report.tools,
        notes=(
            f"It hears {error.value:.2%} of {error.n} words otherwise than its parent "
            f"(see {PAGE})."
        ),
        files=[path.name for path in model_files(folder)],
    )
    save_manifest(folder, request.out, made)
    return report


def _heard(job: Job, folder: Path, clock: Clock) -> list[Heard]:
    request = job.request
    kept = Kept(
        "asr",
        job.source.files.sha256,
        sha256_of(folder / MODEL),
        json.dumps([request.language, request.threads, versions(TOOLS)]),
    )
    with clock.at("listening"):
        return listen(
            {SOURCE: job.floats, THIS: folder, IN_RUNTIME: job.floats},
            job.recordings,
            language=request.language,
            threads=request.threads,
            kept=kept.path("heard.jsonl"),
            tell=clock.stage.tell,
        )


def _costs(job: Job, folder: Path, clock: Clock) -> dict[str, Cost]:
    folders = {SOURCE: job.floats, THIS: folder, IN_RUNTIME: job.floats}
    found = {}
    with clock.at("loading"):
        for n, (who, path) in enumerate(folders.items()):
            clock.stage.tell(n, len(folders))
            found[who] = measure_cost(path, COMPUTED[who], job.request.threads)
    return found
