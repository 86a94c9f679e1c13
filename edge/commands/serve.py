"""`headside serve`: the loopback service that a game talks to."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import (
    AsJson,
    Asr,
    CharacterName,
    Device,
    Encoder,
    Llm,
    PackName,
    Threads,
    Tiers,
    TraceFile,
    Vad,
)
from edge.engines import EngineNames, Engines
from edge.kept import private_key
from edge.serve.loopback import ServeError, require_loopback, require_origin
from models.pack import PackModels
from models.pack_file import load_pack, peek_models
from models.store import Store, cache_root

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULT_PORT = 47_000


@app.command(
    epilog="Examples: headside serve explorer | headside serve ./mypack --port 0 "
    "--json | headside serve explorer --allow-origin http://localhost:5173"
)
def serve(  # noqa: PLR0913, PLR0917 - one parameter an option
    pack: PackName,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes any that is free.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Loopback only.")] = "127.0.0.1",
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a web page that may connect; repeat for several."),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="Shared secret, mode 600; made where it is missing."),
    ] = None,
    trace: TraceFile = None,
    device: Device = "desktop",
    threads: Threads = None,
    tier: Tiers = None,
    character: CharacterName = None,
    vad: Vad = None,
    asr: Asr = None,
    llm: Llm = None,
    encoder: Encoder = None,
    as_json: AsJson = False,
) -> None:
    """Serve a pack to a game on this machine.

    Listens on loopback until Ctrl-C. The game and the service prove to each other that
    they know the secret in --secret-file, which never leaves this machine. Messages are
    described in edge/serve/README.md; clients for Python and JavaScript are in
    edge/clients. Nothing that is said is written to disk.
    """
    began_s = time.perf_counter()
    require_loopback(host)
    for origin in allow_origin or ():
        require_origin(origin)
    # Engines load outside Python; the rest is imported and read meanwhile.
    store = Store.default()
    named, tiers = peek_models(pack) or (PackModels(), ())
    wanted = encoder if "semantic" in (tier or tiers) else ""
    engines = Engines(
        EngineNames.chosen(named, vad=vad, asr=asr, llm=llm, encoder=wanted),
        store,
        device=device,
        threads=threads,
    )
    from edge.build import RuntimeOptions, build_runtime  # noqa: PLC0415
    from edge.intent import Tier  # noqa: PLC0415
    from edge.serve.secret import metrics_token  # noqa: PLC0415
    from edge.serve.server import ServeOptions, Service  # noqa: PLC0415

    secret_path = secret_file or cache_root() / "serve.secret"
    secret = _secret(secret_path)
    options = RuntimeOptions(
        device=device,
        threads=threads,
        tiers=tuple(Tier(choice) for choice in tier) if tier else None,
        character=character,
        vad=vad,
        asr=asr,
        llm=llm,
        encoder=encoder,
        prepare=True,
    )
    runtime = build_runtime(load_pack(pack), store, options, engines)
    service = Service(
        runtime,
        pack,
        secret,
        ServeOptions(
            host=host, port=port, origins=tuple(allow_origin or ()), trace=trace
        ),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    ready_s = time.perf_counter() - began_s
    if as_json:
        _say(
            type="serving",
            pack=runtime.pack.name,
            host=host,
            port=service.port,
            secret_file=str(secret_path),
            metrics_token=metrics_token(secret),
            mode=runtime.pack.listening.mode,
            ready_s=round(ready_s, 3),
        )
    else:
        from rich.console import Console  # noqa: PLC0415

        address = f"[{host}]" if ":" in host else host
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            f"Serving {runtime.pack.title} on ws://{address}:{service.port}/v1 "
            f"({runtime.pack.listening.mode}, {runtime.threads} threads).",
            markup=False,
        )
        console.print(f"The secret is in {secret_path}. Ctrl-C ends.", markup=False)
    serving = threading.Thread(target=service.run, name="headside-serve", daemon=True)
    serving.start()
    try:
        while serving.is_alive():
            serving.join(timeout=1)
    finally:
        service.close()
        runtime.close()


def _secret(path: Path) -> bytes:
    try:
        return private_key(path)
    except OSError as error:
        raise ServeError(
            "serve_secret",
            f"The secret {path} cannot be used: {error.strerror or error}.",
            "It must be a file of yours with mode 600: chmod 600, or name another.",
        ) from error


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
