"""`headside eval`: how well a pack is understood, on recordings or on text."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from edge.build import RuntimeOptions, build_runtime
from edge.commands.eval_show import displayed, show_problems, show_score, stderr
from edge.commands.events import error_line
from edge.commands.options import Asr, Device, Encoder, Language, Llm, Threads, Vad
from edge.engines import ECHO, EngineNames
from edge.evaluation.engine import build_understander
from edge.evaluation.items import EvalError
from edge.evaluation.labels import check_labels
from edge.evaluation.noise import MAX_SNR_DB, MIN_SNR_DB, load_noise
from edge.evaluation.reading import read_cases
from edge.evaluation.report import as_html
from edge.evaluation.run import (
    KeptAnswers,
    Plan,
    answers_key,
    evaluate,
    model_sha256,
    versions,
)
from edge.evaluation.score import Score, score
from edge.evaluation.summary import About
from edge.evaluation.summary import as_json as as_json_object
from edge.intent import Tier
from models.disk import write_whole
from models.errors import HeadsideError
from models.pack import Pack
from models.pack_file import load_pack
from models.store import Store

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)

SNRS = "24,21,18,15,12,9,6"
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    source: Path
    pack: str
    noise: Path | None
    snrs_db: tuple[int, ...]
    seed: int
    language: str
    options: RuntimeOptions
    fresh: bool
    report: Path | None


@app.command(
    epilog="Examples: `headside eval orders/ --pack barista --noise kitchen.flac "
    "--report orders.html` | `headside eval lines.jsonl --pack ./harbour --json`"
)
def evaluation(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with labels.json, or lines of text (.jsonl).",
            metavar="DIR|FILE.jsonl",
            show_default=False,
        ),
    ],
    pack: Annotated[str, typer.Option(help="Name of a pack, or its folder.")],
    noise: Annotated[
        Path | None,
        typer.Option(help="A recording of noise, to mix the recordings with."),
    ] = None,
    snr: Annotated[
        str | None,
        typer.Option(help=f"Loudness over the noise in dB; {SNRS} if not said."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Chooses which piece of the noise is mixed in.")
    ] = 0,
    language: Language = "en",
    tiers: Annotated[
        str | None,
        typer.Option(
            help="Who may recognise intents: some of grammar,semantic,llm; the pack's "
            "if not said."
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="Begin anew, or go on with the answers of an earlier run.",
            show_default="--resume",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML page here, FILE.html.")
    ] = None,
    device: Device = "desktop",
    threads: Threads = None,
    vad: Vad = None,
    asr: Asr = None,
    llm: Llm = None,
    encoder: Encoder = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, for machines.")
    ] = False,
) -> None:
    """Measure how well a pack is understood.

    Every item has a label; an answer is right when its intents and all their slots
    are exactly those. A folder holds sound files, beside `labels.json` or in `audio/`:

    `{"a.flac": {"intent": "move", "slots": {"distance_m": 10}}, "b.flac": null}`

    where null means that there is no command. A `.jsonl` file holds one item a line,
    with `"intents": []` where there is no command:

    `{"id": "1", "text": "go on", "intents": [{"name": "move", "slots": {}}]}`

    With `--noise`, every recording is heard again at each `--snr`.

    Here, unlike everywhere else in Headside, what was said is written to disk, because
    an evaluation was asked for: answers are kept for 30 days in the cache folder's
    `eval`, readable by you alone, so that a run that was interrupted goes on, and they
    stand in the `--report`. The exit code is 1 where something could not be evaluated;
    wrong answers leave it at 0.
    """
    chosen = _tiers(tiers)
    asked = Asked(
        source=source,
        pack=pack,
        noise=noise,
        snrs_db=_snrs(snr, noise),
        seed=seed,
        language=language,
        options=RuntimeOptions(
            device=device,
            threads=threads,
            tiers=chosen,
            vad=vad,
            asr=asr,
            llm=llm,
            encoder=encoder,
        ),
        fresh=fresh,
        report=report,
    )
    try:
        found, about = _evaluate(asked)
    except HeadsideError as error:
        if as_json:
            typer.echo(error_line(error))
        raise
    if report is not None:
        _write_report(report, as_html(found, about))
    if as_json:
        typer.echo(json.dumps(as_json_object(found, about), indent=2))
    else:
        show_score(found, about)
    _fail_on_errors(found)


def _tiers(written: str | None) -> tuple[Tier, ...] | None:
    if written is None:
        return None
    names = [name.strip() for name in written.split(",")]
    wrong = [name for name in names if name not in list(Tier)]
    if wrong:
        raise typer.BadParameter(f"--tiers: {wrong[0]!r} is none of {', '.join(Tier)}.")
    return tuple(dict.fromkeys(map(Tier, names)))


def _snrs(written: str | None, noise: Path | None) -> tuple[int, ...]:
    if noise is None:
        if written is not None:
            raise typer.BadParameter("--snr goes with --noise FILE.")
        return ()
    try:
        levels = SNRS if written is None else written
        snrs_db = [int(level) for level in levels.split(",")]
    except ValueError as error:
        message = f"--snr: {written!r} is no list of whole numbers, as {SNRS}."
        raise typer.BadParameter(message) from error
    for snr_db in snrs_db:
        if not MIN_SNR_DB <= snr_db <= MAX_SNR_DB:
            raise typer.BadParameter(
                f"--snr: {snr_db} is not from {MIN_SNR_DB} to {MAX_SNR_DB}."
            )
    return tuple(dict.fromkeys(snrs_db))


def _evaluate(asked: Asked) -> tuple[Score, About]:
    _check_report(asked.report)
    pack = load_pack(asked.pack, asked.language)
    plan = _plan(asked, pack)
    options = _needed(asked.options, pack, is_sound=plan.cases.is_sound)
    about = _about(asked, plan, pack, options)
    key = answers_key(
        pack=pack.version,
        files=about.files_sha256,
        noise=about.noise_sha256 or "",
        seed=str(asked.seed),
        **about.options,
    )
    console = stderr()
    with KeptAnswers.opened(
        key,
        fresh=asked.fresh,
        waiting=lambda: console.print("waiting for another evaluation of the same"),
    ) as kept:
        try:
            _answer(pack, options, plan, kept)
        except KeyboardInterrupt:
            n_known = plan.n_answers - kept.n_missing(plan)
            console.print(
                f"Interrupted. {n_known} of {plan.n_answers} answers are known and "
                "kept; the same command goes on from there.",
            )
            raise
        found = score(pack, plan.cases, kept.answers.values(), plan.conditions)
    return found, about


def _plan(asked: Asked, pack: Pack) -> Plan:
    """Returns what to do; every mistake of the labels is told before it is raised."""
    try:
        cases = read_cases(asked.source)
        check_labels(cases, pack)
    except EvalError as error:
        if len(error.problems) > 1:
            show_problems(error.problems)
        raise
    if asked.noise is None:
        return Plan(cases=cases)
    if not cases.is_sound:
        raise EvalError(
            "eval_noise",
            f"{asked.source} holds text, which no noise can be mixed with.",
            "Leave out --noise, or name a folder of recordings.",
        )
    noise = load_noise(asked.noise, seed=asked.seed)
    return Plan(cases=cases, snrs_db=asked.snrs_db, noise=noise)


def _needed(options: RuntimeOptions, pack: Pack, *, is_sound: bool) -> RuntimeOptions:
    """Returns the options without models that nobody would ask."""
    tiers = options.tiers or tuple(map(Tier, pack.tiers))
    return replace(
        options,
        vad=options.vad if is_sound else ECHO,
        asr=options.asr if is_sound else ECHO,
        llm=options.llm if Tier.LLM in tiers else ECHO,
    )


def _about(asked: Asked, plan: Plan, pack: Pack, options: RuntimeOptions) -> About:
    store = Store.default()
    names = EngineNames.chosen(
        pack.models, vad=options.vad, asr=options.asr, llm=options.llm
    )
    roles = {
        "vad": names.vad,
        "asr": names.asr,
        "llm": names.llm,
        "pronunciations": names.pronunciations,
    }
    tiers = options.tiers or tuple(map(Tier, pack.tiers))
    if Tier.SEMANTIC in tiers:
        roles["encoder"] = options.encoder or pack.models.encoder
    models = {
        role: name if name == ECHO else f"{name} {model_sha256(store, name)[:16]}"
        for role, name in roles.items()
    }
    return About(
        pack=pack.name,
        source=asked.source.absolute().name,
        seed=asked.seed,
        files_sha256=plan.cases.sha256,
        noise_sha256=plan.noise.sha256 if plan.noise else None,
        options={
            "tiers": ",".join(sorted(tiers)),
            "device": options.device,
            "threads": str(options.threads or "device"),
            **models,
        },
        versions={"pack": pack.version, **versions()},
    )


def _answer(pack: Pack, options: RuntimeOptions, plan: Plan, kept: KeptAnswers) -> None:
    console = stderr()
    n_known = plan.n_answers - kept.n_missing(plan)
    if n_known:
        console.print(
            f"{n_known} of {plan.n_answers} answers "
            "are taken up from an earlier run (--fresh begins anew).",
        )
    if n_known == plan.n_answers:
        return
    runtime = build_runtime(pack, Store.default(), options)
    try:
        with displayed(console, plan.n_answers) as tell:
            evaluate(plan, build_understander(runtime), kept, tell)
    finally:
        runtime.close()


def _check_report(path: Path | None) -> None:
    """Refuses a place for the report before hours of work and not after."""
    if path is None:
        return
    if path.suffix.lower() not in {".html", ".htm"}:
        raise _unwritten(path, "its name must end in .html")
    if not path.absolute().parent.is_dir():
        raise _unwritten(path, "there is no such folder")
    if path.is_dir():
        raise _unwritten(path, "it is a folder")
    if not os.access(path.absolute().parent, os.W_OK):
        raise _unwritten(path, "nothing may be written into its folder")


def _write_report(path: Path, page: str) -> None:
    try:
        write_whole(path.absolute(), page)
    except OSError as error:
        raise _unwritten(path, error.strerror or str(error)) from error


def _unwritten(path: Path, why: str) -> EvalError:
    return EvalError(
        "eval_report",
        f"The report {path} cannot be written: {why}.",
        "Name another file.",
    )


def _fail_on_errors(found: Score) -> None:
    errors = found.errors
    if not errors:
        return
    names = list(dict.fromkeys(answer.id for answer in errors))
    listed = ", ".join(names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    raise EvalError(
        "eval_failed",
        f"Could not be evaluated, and counted as wrong: {listed}{more}. "
        f"The first: {errors[0].error}",
        "All else is kept; mend these and run the same command again.",
    )
