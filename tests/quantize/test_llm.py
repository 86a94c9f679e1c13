"""The whole way of a small model: searched, written, measured, published or not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models.errors import HeadsideError
from models.manifest import load_manifest
from quantize.commands import app
from quantize.conversion import convert
from quantize.gguf import load_header
from quantize.imatrix import Importance, load_importance
from quantize.job import IMATRIX, MODEL, PAGE, RECIPE, REPORT, Request
from quantize.llm import quantize_llm as quantized
from quantize.recipe import load_recipe
from quantize.stage import Stage
from quantize.texts import python_topics
from tests.quantize.conftest import change_json

pytestmark = pytest.mark.models


class Told(Stage):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, name: str) -> None:
        self.begun.append(name)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def source(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("source") / "tiny.gguf"
    convert(smollm, out, type_="f32")
    return out


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where measurements of this module's model are kept."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What calibrates, and what judges; little of both."""
    folder = tmp_path_factory.mktemp("texts")
    topics = [one.text for one in python_topics()]
    for name, first, n in (("calibration", 0, 12), ("evaluation", 30, 3)):
        lines = (json.dumps({"text": text}) for text in topics[first : first + n])
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder / "calibration.jsonl", folder / "evaluation.jsonl"


@pytest.fixture
def request_(
    source: Path,
    kept: Path,
    texts: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Request:
    monkeypatch.setattr("quantize.checks.cache_root", lambda: kept)
    monkeypatch.setattr("quantize.kept.cache_root", lambda: kept)
    return Request(
        source=source,
        out=tmp_path / "out",
        threads=1,
        bits_per_weight=5.5,
        calibration=texts[:1],
        evaluation=texts[1:],
        guard_kl=10.0,
    )


def test_a_model_is_made_and_told_of(request_: Request) -> None:
    told = Told()

    report = quantized(replace(request_, compared=("q8_0", "q4_0")), told)

    out = request_.out
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [MODEL, RECIPE, IMATRIX, REPORT, PAGE, "out.toml"]
    )
    manifest = load_manifest(out / "out.toml")
    assert manifest.files[0].sha256 == report.out.sha256 == sha256(out / MODEL)
    assert report.source.name in manifest.parent
    assert {"measuring tensors", "mending losses"} <= set(told.begun)
    assert all(one.speed and one.speed.decode_tokens_per_s for one in report.methods)
    assert len(report.samples) == 3
    assert json.loads((out / REPORT).read_text())["out"]["sha256"] == sha256(
        out / MODEL
    )
    by_name = {method.name: method for method in report.methods}
    assert list(by_name) == ["this", "q8_0", "q4_0"]
    kl = {name: one.summary.kl_mean.mean for name, one in by_name.items()}
    size = {name: one.n_bytes for name, one in by_name.items()}
    assert kl["q8_0"] < kl["this"] < kl["q4_0"]
    assert size["this"] < size["q4_0"] < size["q8_0"]
    assert report.texts[0].n_tokens > 2000
    assert len({facts.sha256 for facts in report.texts}) == 3
    bits = 8 * sum(one.n_bytes for one in report.tensors) / weights(out / MODEL)
    assert 5.0 < bits <= 5.5


def weights(path: Path) -> int:
    tensors = load_header(path).tensors
    return sum(one.n_numbers for one in tensors if len(one.shape) > 1)


def by_its_recipe(request: Request, folder: Path) -> Request:
    """Returns what asks for a model that was made to be made again."""
    return replace(
        request,
        out=folder / "again",
        recipe=request.out / RECIPE,
        imatrix=request.out / IMATRIX,
    )


def test_a_recipe_makes_the_same_file_again(request_: Request, tmp_path: Path) -> None:
    quantized(request_, Stage())
    first = request_.out
    again = by_its_recipe(request_, tmp_path)

    report = quantized(again, Stage())

    assert report.method == "recipe"
    assert sha256(again.out / MODEL) == sha256(first / MODEL)
    types = {t.name: t.type for t in load_header(again.out / MODEL).tensors}
    for name, type_ in load_recipe(first / RECIPE).types.items():
        assert types[name] == type_


@pytest.mark.parametrize(
    "change", [{"uses_imatrix": False}, {"preset": "q4_0"}, {"preset": "q4_k_m"}]
)
def test_a_recipe_knows_how_its_file_was_made(
    change: dict[str, Any], request_: Request, tmp_path: Path
) -> None:
    made = replace(request_, **change)
    quantized(made, Stage())
    again = by_its_recipe(request_, tmp_path)
    if not (made.out / IMATRIX).exists():
        again = replace(again, imatrix=None)

    quantized(again, Stage())

    assert sha256(again.out / MODEL) == sha256(made.out / MODEL)


def test_a_recipe_is_for_one_model(request_: Request, tmp_path: Path) -> None:
    quantized(request_, Stage())
    recipe = tmp_path / "other.toml"
    told = (request_.out / RECIPE).read_text()
    recipe.write_text(told.replace('"blk.0.attn_q.weight"', '"blk.7.attn_q.weight"'))
    again = replace(request_, out=tmp_path / "again", recipe=recipe)

    with pytest.raises(HeadsideError) as failed:
        quantized(again, Stage())

    assert failed.value.code == "recipe_misfit"
    assert "blk.0.attn_q.weight" in failed.value.message


@pytest.mark.parametrize("width", [96, 5])
def test_an_importance_matrix_of_another_model_is_refused(
    width: int, request_: Request, tmp_path: Path
) -> None:
    name = "blk.0.attn_q.weight" if width == 5 else "other.weight"
    other = Importance(n_chunks=1, chunk_tokens=4, datasets=("other",))
    other.hear(name, np.ones((4, width), np.float32))
    other.save(tmp_path / "other.gguf")

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, imatrix=tmp_path / "other.gguf"), Stage())

    assert failed.value.code == "imatrix_misfit"
    assert str(tmp_path / "other.gguf") in failed.value.message


def test_layers_can_be_left_out(request_: Request, tmp_path: Path) -> None:
    report = quantized(replace(request_, n_pruned=1), Stage())

    names = {one.name for one in load_header(request_.out / MODEL).tensors}
    assert any(name.startswith("blk.0.") for name in names)
    assert not any(name.startswith("blk.1.") for name in names)
    assert any("Layers left out" in note for note in report.notes)
    recipe = load_recipe(request_.out / RECIPE)
    assert len(recipe.without_layers) == 1
    again = by_its_recipe(request_, tmp_path)
    quantized(again, Stage())
    assert sha256(again.out / MODEL) == sha256(request_.out / MODEL)


def test_not_all_layers_can_be_left_out(request_: Request) -> None:
    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, n_pruned=2), Stage())

    assert failed.value.code == "prune_too_many"


def test_words_can_be_left_out(request_: Request, tmp_path: Path) -> None:
    report = quantized(replace(request_, preset="q8_0", n_words=12000), Stage())

    made = load_header(request_.out / MODEL)
    words = made.metadata["tokenizer.ggml.tokens"]
    assert isinstance(words, tuple)
    assert len(words) == 12000
    assert {t.shape[1] for t in made.tensors if t.name == "token_embd.weight"} == {
        12000
    }
    (note,) = (note for note in report.notes if "words stay" in note)
    assert note.startswith("12,000 of 49,152 words stay.")
    limit = next(one for one in report.limits if "words left out" in one.name)
    # Random weights find all words as likely: ln(49152 / 12000).
    assert limit.found == pytest.approx(1.41, abs=0.1)
    again = by_its_recipe(request_, tmp_path)
    quantized(again, Stage())
    assert sha256(again.out / MODEL) == sha256(request_.out / MODEL)

    # Of other texts it would keep other words.
    german = {"text": "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. " * 20}
    lines = [request_.calibration[0].read_text(), json.dumps(german)]
    other = replace(again, out=tmp_path / "other")
    (tmp_path / "more.jsonl").write_text("\n".join(lines))

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(other, calibration=(tmp_path / "more.jsonl",)), Stage())

    assert failed.value.code == "recipe_words"


def test_a_recipe_is_for_the_same_texts(request_: Request, tmp_path: Path) -> None:
    quantized(request_, Stage())
    others = tmp_path / "others.jsonl"
    topics = [one.text for one in python_topics()][14:26]
    others.write_text("\n".join(json.dumps({"text": text}) for text in topics))
    again = replace(by_its_recipe(request_, tmp_path), calibration=(others,))

    with pytest.raises(HeadsideError) as failed:
        quantized(again, Stage())

    assert failed.value.code == "recipe_calibration"


def test_mending_loses_less(request_: Request) -> None:
    mended = quantized(request_, Stage())
    plain = replace(request_, out=request_.out.with_name("plain"), is_mended=False)
    bare = replace(plain, out=request_.out.with_name("bare"), uses_imatrix=False)

    found = [quantized(one, Stage()) for one in (plain, bare)]

    kl = [one.methods[0].summary.kl_mean.mean for one in (mended, *found)]
    assert kl[0] < kl[1]
    assert not (bare.out / IMATRIX).exists()
    assert load_recipe(plain.out / RECIPE).mended_sha256 == ""
    assert found[1].imatrix_sha256 == ""


def test_another_budget_needs_no_measurement(request_: Request) -> None:
    quantized(request_, Stage())
    told = Told()
    size = request_.source.stat().st_size // 3
    smaller = replace(request_, out=request_.out.with_name("b"), budget_bytes=size)

    quantized(smaller, told)

    assert "calibrating" not in told.begun
    assert (smaller.out / MODEL).stat().st_size <= size


def test_for_speed_every_type_has_a_fast_kernel(request_: Request) -> None:
    report = quantized(replace(request_, goal="speed"), Stage())

    assert report.out.fast_share == 1
    assert {one.type for one in report.tensors} <= {"q4_0", "iq4_nl", "q8_0"}


def test_a_folder_that_would_not_stop_is_refused(
    request_: Request, smollm: Path
) -> None:
    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, source=smollm, preset="q8_0"), Stage())

    assert failed.value.code == "parity_end_tokens"
    assert not request_.out.exists()


def test_a_folder_is_converted_and_checked(
    request_: Request, smollm_copy: Path
) -> None:
    told = Told()
    change_json(smollm_copy / "config.json", eos_token_id=2)

    report = quantized(replace(request_, source=smollm_copy, preset="q8_0"), told)

    assert told.begun[1:3] == ["converting", "checking the conversion"]
    assert report.licence == "apache-2.0"
    assert (report.source.name, report.architecture) == ("copy", "LlamaForCausalLM")
    assert report.is_passed


def test_a_preset_is_llama_cpps(request_: Request) -> None:
    report = quantized(replace(request_, preset="q8_0"), Stage())

    assert report.method == "q8_0"
    assert {one.type for one in report.tensors} == {"q8_0"}


def test_what_lost_too_much_is_not_published(request_: Request) -> None:
    strict = replace(request_, guard_kl=1e-6)

    with pytest.raises(HeadsideError) as failed:
        quantized(strict, Stage())

    assert failed.value.code == "lost_too_much"
    assert "kl_mean" in failed.value.message
    assert not strict.out.exists()
    refused = strict.out.with_name("out.refused")
    assert not (refused / MODEL).exists()
    assert (refused / PAGE).exists()
    assert str(refused) in failed.value.hint


def test_what_is_asked_for_is_checked_first(request_: Request, tmp_path: Path) -> None:
    told = Told()
    asked = {
        "task_broken": replace(request_, task=tmp_path / "none.jsonl"),
        "device_unknown": replace(request_, device="toaster"),
    }

    for code, request in asked.items():
        with pytest.raises(HeadsideError) as failed:
            quantized(request, told)
        assert failed.value.code == code

    assert set(told.begun) == {"checking the source"}


def test_a_task_too_short_for_the_guard_is_refused_at_once(
    request_: Request, tmp_path: Path
) -> None:
    rows = [{"id": str(n), "text": "turn left", "intents": []} for n in range(60)]
    path = tmp_path / "task.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, task=path), Told())

    assert failed.value.code == "task_short"
    assert "Give 125 or more" in failed.value.hint


def test_what_came_to_be_meanwhile_is_left(request_: Request) -> None:
    class Meanwhile(Told):
        """Another run publishes first."""

        def begin(self, name: str) -> None:
            if name == "writing":
                request_.out.mkdir()
                (request_.out / "theirs").touch()

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, preset="q8_0"), Meanwhile())

    assert failed.value.code == "out_exists"
    assert [one.name for one in request_.out.iterdir()] == ["theirs"]
    ours = request_.out.with_name("out-2")
    assert str(ours) in failed.value.message
    assert (ours / MODEL).exists()


def test_on_a_headset_it_has_to_fit(request_: Request) -> None:
    report = quantized(replace(request_, preset="q4_0", device="quest3"), Stage())

    memory = next(one for one in report.limits if "quest3" in one.name)
    assert memory.found > (request_.out / MODEL).stat().st_size
    assert memory.is_met


def test_a_budget_that_cannot_be_says_what_could(request_: Request) -> None:
    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, budget_bytes=1000), Stage())

    assert failed.value.code == "budget_too_small"
    assert not request_.out.exists()
    (enough,) = re.findall(r"--budget (\d+)", failed.value.hint)
    least = replace(request_, budget_bytes=int(enough))
    quantized(least, Stage())
    assert (least.out / MODEL).stat().st_size <= int(enough)


def test_an_importance_matrix_is_of_this_model(request_: Request) -> None:
    quantized(replace(request_, preset="q4_0"), Stage())

    found = load_importance(request_.out / IMATRIX)

    named = {tensor.name for tensor in load_header(request_.source).tensors}
    assert found.sums.keys() <= named
    assert all(sums.min() >= 0 for sums in found.sums.values())
    assert found.datasets == ("calibration.jsonl",)


def test_two_files_beside_their_source(
    request_: Request, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    quantized(replace(request_, preset="q8_0"), Stage())
    small = replace(request_, out=tmp_path / "small", preset="q4_0")
    quantized(small, Stage())
    given = [str(request_.out / MODEL), str(small.out / MODEL)]
    options = ["--reference", str(request_.source), "--eval", str(texts[1])]

    found = CliRunner().invoke(
        app, ["compare", *given, *options, "--threads", "1", "--json"]
    )

    assert found.exception is None, found.exception
    methods = json.loads(found.stdout)
    assert [method["name"] for method in methods] == given
    kl = [method["summary"]["kl_mean"]["mean"] for method in methods]
    assert 0 < kl[0] < kl[1]


def test_a_file_that_ends_llama_cpp_ends_nothing_else(request_: Request) -> None:
    broken = request_.out.with_name("broken.gguf")
    whole = request_.source.read_bytes()
    # A number of heads that no width goes by: the header is in order, the model is not.
    key = b"llama.attention.head_count"
    at = whole.index(key) + len(key) + 4
    broken.write_bytes(whole[:at] + (0).to_bytes(4, "little") + whole[at + 4 :])

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, source=broken), Stage())

    assert failed.value.code in {"child_died", "model_unreadable"}
    assert "broken.gguf" in failed.value.message
    assert not request_.out.exists()


def test_what_is_there_is_left(request_: Request) -> None:
    request_.out.mkdir()

    with pytest.raises(HeadsideError) as failed:
        quantized(request_, Stage())

    assert failed.value.code == "out_exists"


def test_texts_of_both_uses_are_refused(request_: Request, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"The lamp {n} is lit. " * 40 for n in range(20)))
    both = replace(request_, calibration=(text,), evaluation=(text,))

    with pytest.raises(HeadsideError) as failed:
        quantized(both, Stage())

    assert failed.value.code == "texts_overlap"


def test_a_short_text_does_not_calibrate(request_: Request, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Too short.")

    with pytest.raises(HeadsideError) as failed:
        quantized(replace(request_, calibration=(text,)), Stage())

    assert failed.value.code == "calibration_short"


def test_a_quantized_source_is_asked_for(request_: Request, tmp_path: Path) -> None:
    quantized(replace(request_, preset="q8_0"), Stage())
    again = replace(
        request_, source=request_.out / MODEL, out=tmp_path / "c", preset="q4_0"
    )
    with pytest.raises(HeadsideError) as failed:
        quantized(again, Stage())
    assert failed.value.code == "source_quantized"

    report = quantized(replace(again, allows_quantized=True), Stage())

    assert any("quantized before" in note for note in report.notes)


def arguments(source: Path, texts: tuple[Path, Path], out: Path) -> list[str]:
    files = ["--calibration", str(texts[0]), "--eval", str(texts[1])]
    options = ["--bpw", "5.5", "--guard-kl", "10", "--threads", "1", *files]
    return [str(source), "-o", str(out), *options]


def run(given: Sequence[str], cache: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge.cli", "quantize", "llm", *given]
    return subprocess.Popen(
        command,
        env={**os.environ, "HEADSIDE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_killed_run_goes_on_and_ends_the_same(
    source: Path, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    n_killed = 0
    for stage in (b"calibrating", b"measuring", b"quantizing", b"evaluating"):
        process = run(arguments(source, texts, out), cache)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(stage):
                time.sleep(0.3)
                process.send_signal(signal.SIGKILL)
                break
        n_killed += process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert not out.exists() or n_killed < 4
    whole, other = tmp_path / "whole", tmp_path / "other"
    for folder, where in ((out, cache), (whole, other)):
        if not folder.exists():
            assert run(arguments(source, texts, folder), where).wait() == 0

    assert n_killed >= 3
    assert sha256(out / MODEL) == sha256(whole / MODEL)
    assert sha256(out / IMATRIX) == sha256(whole / IMATRIX)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--budget", "small"], "unknown_size"),
        (["--for", "fun"], "unknown_goal"),
        (["--preset", "q9"], "unknown_preset"),
        (["--budget", "0MB"], "unknown_size"),
        (["--preset", "q8_0", "--bpw", "5"], "options_conflict"),
        (["--budget", "3MB", "--bpw", "5"], "options_conflict"),
        (["--preset", "q8_0", "--for", "speed"], "options_conflict"),
        (["--imatrix", "none.gguf"], "gguf_unreadable"),
        (["--recipe", "none.toml"], "recipe_broken"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    given: list[str], code: str, source: Path, tmp_path: Path
) -> None:
    found = CliRunner().invoke(
        app, ["llm", str(source), "-o", str(tmp_path / "out"), *given]
    )

    assert isinstance(found.exception, HeadsideError)
    assert found.exception.code == code
