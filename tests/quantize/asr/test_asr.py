"""The whole way of a speech model: written, heard, judged, published or not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from typer.testing import CliRunner

from models.ctranslate2_file import int8_variables, load_ctranslate2
from models.errors import HeadsideError, ModelError
from models.fetch import fetch
from models.manifest import load_manifest
from models.store import Store
from quantize.artifact import ArtifactReport, LostTooMuchError
from quantize.asr.conversion import convert
from quantize.asr.job import Request
from quantize.asr.publishing import write_int8
from quantize.asr.quantizing import quantize_asr
from quantize.asr.source import load_source
from quantize.commands import app
from quantize.stage import Stage
from tests.quantize.asr.conftest import TEXT, change_weights
from tests.quantize.asr.test_source import save_adapter

pytestmark = pytest.mark.models


class Told(Stage):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.n_told = 0

    def begin(self, name: str) -> None:
        self.begun.append(name)

    def tell(self, done: int, of: int) -> None:
        self.n_told += 1


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def figures(report: ArtifactReport) -> dict[str, float]:
    return {one.name: one.value for one in report.findings}


def test_a_small_model_is_published_with_what_it_cost(request_: Request) -> None:
    stage = Told()

    report = quantize_asr(request_, stage)

    out = request_.out
    assert stage.begun == ["checking the source", "quantizing", "listening", "loading"]
    assert {path.name for path in out.iterdir()} == {
        *("model.bin", "config.json", "tokenizer.json", "vocabulary.json"),
        *("report.json", "report.html", "out.toml"),
    }
    assert load_ctranslate2(out / "model.bin").is_quantized
    found = figures(report)
    assert found["word_error"] == 0
    assert found["timestamp_shift_p95"] <= 40
    assert found["identical_to_runtime"] == 1
    assert found["words_in_silence"] == found["words_in_silence_source"] > 0
    assert found["true_word_error"] == found["true_word_error_source"] == 0
    assert found["real_time_factor"] > 0
    assert found["load"] > 0
    assert report.is_passed
    assert [one.reference for one in report.samples] == [TEXT, TEXT]
    kept = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert kept["kind"] == "asr"
    assert {one["name"] for one in kept["ways"]} >= {"this", "source"}
    assert TEXT not in (out / "out.toml").read_text(encoding="utf-8")


def test_two_models_beside_their_source(request_: Request) -> None:
    quantize_asr(request_, Stage())
    given = [str(request_.out), str(request_.source)]
    options = ["--reference", str(request_.source), "--eval", str(request_.evaluation)]

    found = CliRunner().invoke(
        app, ["compare", *given, *options, "--threads", "1", "--json"]
    )

    assert found.exception is None, found.exception
    small, same = json.loads(found.stdout)
    assert small["n_bytes"] < same["n_bytes"]
    for way in (small, same):  # the source with eight bits at run time is the same
        lost = {one["name"]: one["value"] for one in way["findings"]}
        assert lost["word_error"] == 0
        assert lost["timestamp_shift_p95"] <= 40


def test_its_tokenizer_is_shorter_and_the_same(real: Path, tmp_path: Path) -> None:
    write_int8(real, tmp_path)

    before, after = (
        Tokenizer.from_file(str(folder / "tokenizer.json"))
        for folder in (real, tmp_path)
    )
    assert (tmp_path / "tokenizer.json").stat().st_size < 2_100_000
    assert before.to_str() == after.to_str()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 80_000_000


def test_its_manifest_makes_it_a_model_of_the_store(
    request_: Request, tmp_path: Path
) -> None:
    quantize_asr(request_, Stage())

    manifest = load_manifest(request_.out / "out.toml")
    store = Store(tmp_path / "store", manifest_folders=(request_.out,), offline=True)
    fetch(store, "out")

    assert (manifest.kind, manifest.format) == ("asr", "ctranslate2")
    assert sha256(store.path("out") / "model.bin") == sha256(request_.out / "model.bin")


def test_the_same_source_makes_the_same_bytes(
    request_: Request, tmp_path: Path
) -> None:
    again = replace(request_, out=tmp_path / "again")

    quantize_asr(request_, Stage())
    stage = Told()
    quantize_asr(again, stage)

    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        assert sha256(request_.out / name) == sha256(again.out / name)
    assert stage.n_told == 3, "what was heard before is not heard again"


def test_what_is_there_is_left_alone(request_: Request) -> None:
    request_.out.mkdir()
    (request_.out / "mine").touch()

    with pytest.raises(HeadsideError) as caught:
        quantize_asr(request_, Stage())

    assert caught.value.code == "out_exists"
    assert [path.name for path in request_.out.iterdir()] == ["mine"]


def outlier(weights: dict[str, Any]) -> None:
    """Gives each word a number so large that eight bits hold nothing else."""
    weights["model.decoder.embed_tokens.weight"][:, 0] += 300


@pytest.fixture(scope="module")
def lossy(tiny_hf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that eight bits ruin."""
    folder = tmp_path_factory.mktemp("lossy")
    shutil.copytree(tiny_hf, folder / "hf")
    change_weights(folder / "hf", outlier)
    convert(folder / "hf", [], folder / "lossy", lambda _done, _of: None)
    return folder / "lossy"


def test_what_lost_too_much_is_not_published(request_: Request, lossy: Path) -> None:
    request = replace(request_, source=lossy)

    with pytest.raises(LostTooMuchError) as caught:
        quantize_asr(request, Stage())

    refused = request.out.with_name("out.refused")
    assert "word_error" in caught.value.message
    assert str(refused / "report.html") in caught.value.hint
    assert not request.out.exists()
    assert not request.out.with_name("out.part").exists()
    assert {path.name for path in refused.iterdir()} == {"report.json", "report.html"}


def test_a_folder_of_hugging_faces_makes_the_same(
    request_: Request, tiny_hf: Path
) -> None:
    stage = Told()

    report = quantize_asr(replace(request_, source=tiny_hf), stage)

    assert "converting" in stage.begun
    assert report.licence == "mit"
    assert figures(report)["word_error"] == 0
    made = load_ctranslate2(request_.out / "model.bin").variables
    wanted = dict(int8_variables(load_ctranslate2(request_.source / "model.bin")))
    assert made.keys() == wanted.keys()
    for name, array in wanted.items():
        assert np.array_equal(made[name], array), name


def test_an_adapter_is_in_the_weights(
    tiny_hf: Path, tiny: Path, tmp_path: Path
) -> None:
    module = "model.decoder.layers.0.encoder_attn.v_proj"
    adapter = save_adapter(tmp_path / "lora", module, 32, 32)
    load_source(tiny_hf, [adapter])

    convert(tiny_hf, [adapter], tmp_path / "merged", lambda _done, _of: None)

    added = load_file(adapter / "adapter_model.safetensors")
    lora_a, lora_b = (
        added[f"base_model.model.{module}.lora_{letter}.weight"] for letter in "AB"
    )
    name = "decoder/layer_0/attention/linear_1/weight"  # keys, then values
    merged = load_ctranslate2(tmp_path / "merged" / "model.bin").variables[name]
    plain = load_ctranslate2(tiny / "model.bin").variables[name]
    change = merged[32:] - plain[32:]
    np.testing.assert_allclose(change, 2 * lora_b @ lora_a, rtol=1e-4, atol=1e-5)
    assert np.array_equal(merged[:32], plain[:32])


@pytest.mark.slow
def test_a_real_model_goes_there_and_back(real: Path, tmp_path: Path) -> None:
    from benchmarks.hf_whisper import save_hf_whisper

    save_hf_whisper(real, tmp_path / "hf")
    convert(tmp_path / "hf", [], tmp_path / "back", lambda _done, _of: None)

    before = load_ctranslate2(real / "model.bin")
    after = load_ctranslate2(tmp_path / "back" / "model.bin")
    assert before.variables.keys() == after.variables.keys()
    for name, array in before.variables.items():
        assert np.array_equal(array.astype(np.float32), after.variables[name]), name
    for name in ("config.json", "vocabulary.json", "tokenizer.json"):
        assert sha256(real / name) == sha256(tmp_path / "back" / name)


@pytest.mark.slow
def test_a_real_model_hears_as_its_source(
    request_: Request, real: Path, two_sounds: Path
) -> None:
    report = quantize_asr(replace(request_, source=real), Stage())

    found = figures(report)
    assert found["word_error"] == 0
    assert found["identical_to_runtime"] == 1
    assert found["timestamp_shift_p95"] <= 40
    assert report.out.n_bytes < 0.55 * report.source.n_bytes
    assert report.samples[0].quantized == "Go forward 10 meters."


def test_no_room(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    with pytest.raises(ModelError) as caught:
        quantize_asr(request_, Stage())

    assert caught.value.code == "no_space"
    assert not request_.out.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"guard_wer": float("nan")}, "guard_invalid"),
        ({"guard_shift_ms": -1.0}, "guard_invalid"),
        ({"language": "xx"}, "language_unknown"),
    ],
)
def test_what_is_asked_for_wrongly(
    request_: Request, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(HeadsideError) as caught:
        quantize_asr(replace(request_, **change), Stage())

    assert caught.value.code == code
    assert not request_.out.exists()
    assert not request_.out.with_name("out.part").exists()


def test_a_recording_that_is_none(request_: Request, tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "a.wav", np.zeros(100), 16_000)
    (sounds / "b.wav").write_bytes(b"RIFF")

    with pytest.raises(HeadsideError) as caught:
        quantize_asr(replace(request_, evaluation=sounds), Stage())

    assert caught.value.code == "recording_unreadable"
    assert "b.wav" in caught.value.message


def test_the_report_for_machines(request_: Request) -> None:
    arguments = ["asr", str(request_.source), "-o", str(request_.out)]
    arguments += ["--eval", str(request_.evaluation), "--threads", "1", "--json"]

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["out"]["name"] == "out"


@pytest.fixture
def killed(request_: Request, tmp_path: Path) -> Path:
    """A cache in which a run was killed while it listened."""
    root = tmp_path / "cache"
    root.mkdir()
    command = [sys.executable, "-m", "edge.cli", "quantize", "asr"]
    command += [str(request_.source), "-o", str(request_.out), "--threads", "1"]
    command += ["--eval", str(request_.evaluation)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "HEADSIDE_CACHE": str(root)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    ends_s = time.monotonic() + 300
    while time.monotonic() < ends_s and process.poll() is None:
        if any(path.stat().st_size for path in root.rglob("heard.jsonl")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return root


def test_a_run_that_was_killed_goes_on(
    request_: Request, killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not request_.out.exists()
    (kept,) = killed.rglob("heard.jsonl")
    before = [
        line for line in kept.read_text().splitlines(keepends=True) if "\n" in line
    ]
    assert before
    monkeypatch.setattr("quantize.kept.cache_root", lambda: killed)

    report = quantize_asr(request_, Stage())

    assert report.is_passed
    assert kept.read_text().startswith("".join(before))
    assert not request_.out.with_name("out.part").exists()
