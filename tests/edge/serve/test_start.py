"""The command loads its engines while it reads the pack, and loads none twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge import engines
from edge.commands import serve
from edge.engines import ECHO, EngineNames
from edge.serve.server import Service
from models.pack_file import peek_models
from tests.edge.serve.conftest import PACK

ENCODER = '[models]\nencoder = "echo"\n'
SEMANTIC = PACK.replace('["grammar"]', '["grammar", "semantic"]')


class Loaded(Exception):  # noqa: N818 - nothing is wrong
    """All is loaded; the service would begin."""


@pytest.mark.parametrize(
    ("pack", "options", "encoder"),
    [
        (PACK, [], ""),
        (SEMANTIC + ENCODER, [], ECHO),
        (SEMANTIC + ENCODER, ["--tier", "grammar"], ""),
        (PACK + ENCODER, ["--tier", "semantic"], ECHO),
        (PACK.replace('tiers = ["grammar"]', "") + ENCODER, [], ""),
    ],
)
def test_a_start_loads_each_engine_once(
    pack_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    pack: str,
    options: list[str],
    encoder: str,
) -> None:
    loaded: list[EngineNames] = []
    begin = engines.Engines.__init__

    def count(
        self: engines.Engines, names: EngineNames, *others: Any, **more: Any
    ) -> None:
        loaded.append(names)
        begin(self, names, *others, **more)

    monkeypatch.setattr(engines.Engines, "__init__", count)

    def stop(*_: object) -> None:
        raise Loaded

    monkeypatch.setattr(Service, "__init__", stop)
    pack_file.write_text(pack)
    echoes = ["--vad", ECHO, "--asr", ECHO, "--llm", ECHO, "--port", "0"]
    secret = ["--secret-file", str(pack_file.with_name("secret"))]
    run = CliRunner().invoke(
        serve.app, [str(pack_file.parent), *echoes, *secret, *options]
    )

    assert isinstance(run.exception, Loaded), run.exception
    assert [names.encoder for names in loaded] == [encoder]


def test_what_is_no_pack_is_left_to_its_reader(pack_file: Path) -> None:
    assert peek_models("nowhere") is None
    for text in ("[", "models = 5", "understand = 5", "[understand]\ntiers = 5"):
        pack_file.write_text(text)
        assert peek_models(pack_file) is None
