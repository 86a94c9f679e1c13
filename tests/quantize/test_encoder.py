"""A sentence encoder made small: what it is then, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from models.encoder_file import OUTPUT, load_encoder_file
from models.errors import HeadsideError, ModelError
from models.manifest import load_manifest
from quantize.artifact import PAGE, REPORT, THIS, ArtifactReport, LostTooMuchError
from quantize.commands import app
from quantize.encoder.building import build_encoder
from quantize.encoder.guard import Guard
from quantize.encoder.making import Request, quantize_encoder
from quantize.encoder.parity import check_export
from quantize.encoder.pieces import check_pieces, feeds
from quantize.encoder.rounding import rounded
from quantize.encoder.search import Lab
from quantize.encoder.sentences import load_sentences
from quantize.encoder.shape import Pooling
from quantize.encoder.source import load_encoder, read_weights
from quantize.encoder.vectors import Reader
from quantize.onnx_session import open_session, run
from quantize.stage import Stage
from quantize.texts import Use
from tests.quantize.encoders import PIECES, SINGLE, save_encoder, write_json

LOOSE = Guard(cosine=0.9, nearest=0.5)
SAID = ["go to the island", "can you see me", "42 is it", "stop that"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_encoder(tmp_path / "tiny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is measured of the same folder is measured once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(cache))


def asked(folder: Path, out: Path, guard: Guard = LOOSE) -> Request:
    return Request(source=folder, out=out, packs=("explorer",), guard=guard)


def made(folder: Path, out: Path, guard: Guard = LOOSE) -> ArtifactReport:
    return quantize_encoder(asked(folder, out, guard), Stage())


def refused(folder: Path) -> HeadsideError:
    """Returns why a folder is refused, and that nothing was left."""
    out = folder.with_name("out")
    with pytest.raises(HeadsideError) as caught:
        made(folder, out)
    assert sorted(out.parent.glob("out*")) == []
    return caught.value


def test_what_is_made_runs_and_says_what_it_lost(folder: Path) -> None:
    out = folder.with_name("small")

    report = made(folder, out)

    about = load_encoder_file(out)
    assert about is not None
    assert (about.pooling, about.max_pieces, about.width) == ("mean", 48, 64)
    session = open_session(out / "model.onnx", threads=1)
    assert [one.name for one in session.get_outputs()] == [OUTPUT]
    rows = [[2, 9, 14, 3], [2, 9, 20, 3]]
    (vectors,) = run(session, feeds(rows, has_types=True))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)

    found = {one.name: one for one in report.findings}
    low, high = found["cosine"].worst
    assert 0.9 < low <= found["cosine"].value <= high < 1
    assert found["export_difference"].value < 1e-5
    assert {one.use for one in report.inputs} == set(Use)
    drifts = {
        way.name: one.value
        for way in report.ways
        for one in way.findings
        if one.name == "batch_drift"
    }
    assert drifts["dynamic"] > 1e-6 > drifts["by piece"]
    assert drifts[THIS] < 1e-6
    assert all(one.loss for one in report.nodes if one.op == "MatMul")
    assert [one.threads for one in report.timings] == [1, 2]
    assert load_manifest(out / "small.toml").kind == "encoder"
    assert (out / "vocab.txt").read_text() == (folder / "vocab.txt").read_text()
    assert json.loads((out / REPORT).read_text())["kind"] == "encoder"
    assert "by turns with the source" in (out / PAGE).read_text()


def test_two_encoders_beside_their_source(folder: Path) -> None:
    first, second = folder.with_name("small"), folder.with_name("other")
    made(folder, first)
    quantize_encoder(replace(asked(folder, second), n_float=99), Stage())

    found = CliRunner().invoke(
        app,
        [
            *("compare", str(first), str(second), "--reference", str(folder)),
            *("--threads", "1", "--json"),
        ],
    )

    assert found.exception is None, found.exception
    small, large = json.loads(found.stdout)
    assert small["n_bytes"] < large["n_bytes"]
    lost = [
        {one["name"]: one["value"] for one in way["findings"]} for way in (small, large)
    ]
    assert lost[0]["cosine"] < lost[1]["cosine"] == pytest.approx(1, abs=1e-5)
    assert lost[1]["nearest_agreement"] == 1


def test_a_run_that_broke_off_goes_on_and_makes_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    class Broken(Stage):
        def begin(self, name: str) -> None:
            if name == "leaving products in float":
                raise KeyboardInterrupt

    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path / "own"))
    with pytest.raises(KeyboardInterrupt):
        quantize_encoder(asked(folder, folder.with_name("out")), Broken())
    assert sorted(tmp_path.glob("out*")) == []
    built: list[object] = []
    build = Lab.build

    def counted(lab: Lab, *arguments: object) -> object:
        built.append(arguments)
        return build(lab, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Lab, "build", counted)
    after = made(folder, folder.with_name("out"))
    assert len(built) == 1  # what is written, and nothing that was measured before

    monkeypatch.setenv("HEADSIDE_CACHE", str(cache))
    anew = made(folder, folder.with_name("again"))
    assert after.out.sha256 == anew.out.sha256


def test_what_lost_too_much_is_not_published(folder: Path) -> None:
    out = folder.with_name("small")

    with pytest.raises(LostTooMuchError) as caught:
        made(folder, out, Guard(cosine=1.5, nearest=0.5))

    assert "cosine is" in caught.value.message
    assert not out.exists()
    left = sorted(path.name for path in out.with_name("small.refused").iterdir())
    assert left == sorted([REPORT, PAGE])


def test_products_are_left_in_float_until_it_is_good_enough(folder: Path) -> None:
    before = made(folder, folder.with_name("loose"))
    lost = 1 - (before.findings[0].low or 0)

    strict = Guard(cosine=1 - 0.9 * lost, nearest=0.5)
    try:
        report = made(folder, folder.with_name("small"), strict)
    except LostTooMuchError as error:  # it is judged on other sentences
        report = error.report

    assert (report.ways[0].findings[0].low or 0) >= strict.cosine
    assert report.out.n_bytes > before.out.n_bytes
    losses = {
        type_: [one.loss for one in report.nodes if one.type == type_ and one.loss]
        for type_ in ("float", "int8")
    }
    assert min(losses["float"]) >= max(losses["int8"])
    assert not [one for one in before.nodes if one.type == "float"]


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def another_architecture(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**found, "model_type": "mpnet"})


def another_activation(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**found, "hidden_act": "relu"})


def a_pickle(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def cut_off(folder: Path) -> None:
    data = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(data[: len(data) // 2])


def no_numbers(folder: Path) -> None:
    weights = load_file(folder / SINGLE)
    weights["encoder.layer.1.output.dense.weight"][3, 4] = np.nan
    save_file(weights, folder / SINGLE)


def no_layer(folder: Path) -> None:
    weights = load_file(folder / SINGLE)
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, folder / SINGLE)


def no_tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").unlink()


def cased(folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", {"do_lower_case": False})


def no_specials(folder: Path) -> None:
    (folder / "vocab.txt").write_text("a\nb\n")


def pooled_by_most(folder: Path) -> None:
    write_json(folder / "1_Pooling/config.json", {"pooling_mode_max_tokens": True})


def projected(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    write_json(folder / "modules.json", [*modules, dense])


@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        (shutil.rmtree, "encoder_missing", "is no folder"),
        (no_config, "encoder_missing", "config.json"),
        (another_architecture, "encoder_unknown", "mpnet"),
        (another_activation, "encoder_unknown", "relu"),
        (a_pickle, "pickle", "pytorch_model.bin"),
        (cut_off, "weights_broken", SINGLE),
        (no_numbers, "weights_not_finite", "encoder.layer.1.output.dense.weight"),
        (no_layer, "weights_missing", "encoder.layer.1.output.dense.bias"),
        (no_tokenizer, "tokenizer_missing", "vocab.txt"),
        (cased, "tokenizer_unknown", "capital letters"),
        (no_specials, "tokenizer_unknown", "[CLS]"),
        (pooled_by_most, "pooling_unknown", "pooling_mode_max_tokens"),
        (projected, "pooling_unknown", "Dense"),
    ],
)
def test_a_folder_that_will_not_do_is_refused(
    folder: Path, harm: Callable[[Path], None], code: str, says: str
) -> None:
    harm(folder)

    error = refused(folder)

    assert error.code == code
    assert says in error.message
    assert error.message.endswith((".", ")"))
    assert error.hint


def test_what_is_there_is_not_written_over(folder: Path) -> None:
    out = folder.with_name("out")
    out.mkdir()

    with pytest.raises(HeadsideError) as caught:
        made(folder, out)

    assert caught.value.code == "out_exists"
    assert list(out.iterdir()) == []


def test_a_full_disk_is_told_before_anything_takes_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(ModelError) as caught:
        made(folder, folder.with_name("out"))

    assert caught.value.code == "no_space"


def test_the_command_ends_with_one_and_a_line(folder: Path, tmp_path: Path) -> None:
    a_pickle(folder)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "edge.cli", "quantize", "encoder"),
            *(str(folder), "-o", str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(("error: ", "  ", "Convert"))
    assert "pytorch_model.bin is a pickle" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_sentences_that_judge_are_no_others(tmp_path: Path) -> None:
    found = load_sentences(["explorer", "barista"])

    keys = {use: {one.key for one in found.by_use[use]} for use in Use}
    groups = {use: {one.group for one in found.by_use[use]} for use in Use}
    for use, other in (
        (Use.EVALUATION, Use.CALIBRATION),
        (Use.EVALUATION, Use.SEARCH),
        (Use.SEARCH, Use.CALIBRATION),
    ):
        assert not keys[use] & keys[other]
        assert not groups[use] & groups[other]
    assert not {one.text for one in found.examples} & set(found.texts(Use.EVALUATION))
    assert found == load_sentences(["explorer", "barista"])


def test_a_sentence_that_calibrates_and_judges_is_refused(tmp_path: Path) -> None:
    lines = [f"sentence number {n}" for n in range(120)]
    one, other = tmp_path / "one.txt", tmp_path / "other.jsonl"
    one.write_text("\n".join(lines[:40]))
    judged = [*lines[40:], "Sentence,  number 7!"]
    other.write_text("\n".join(json.dumps({"text": text}) for text in judged))

    with pytest.raises(HeadsideError) as caught:
        load_sentences(["explorer"], calibration=one, evaluation=other)

    assert caught.value.code == "sentences_overlap"
    assert "number 7!" in caught.value.message


def test_too_few_sentences_say_nothing(tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("go on\nstop it\n")

    with pytest.raises(HeadsideError) as caught:
        load_sentences(["explorer"], evaluation=few)

    assert caught.value.code == "sentences_few"
    assert "There are 2 sentences" in caught.value.message


def test_an_export_that_pools_in_another_way_is_noticed(folder: Path) -> None:
    encoder = load_encoder(folder)
    weights = read_weights(encoder, lambda *_: None)
    model = build_encoder(replace(encoder.shape, pooling=Pooling.CLS), weights)

    with pytest.raises(HeadsideError) as caught:
        check_export(Reader(model, encoder.pieces, threads=1), encoder, SAID)

    assert caught.value.code == "export_differs"
    assert "pools by mean" in caught.value.message


def test_another_tokenizer_is_noticed(folder: Path) -> None:
    from tokenizers.implementations import BertWordPieceTokenizer

    numbers = {piece: n for n, piece in enumerate(PIECES)}
    own = BertWordPieceTokenizer(numbers, lowercase=True)
    own.save(str(folder / "tokenizer.json"))
    pieces = load_encoder(folder).pieces
    check_pieces(folder, pieces, SAID)

    (folder / "vocab.txt").unlink()
    assert load_encoder(folder).pieces.vocabulary == pieces.vocabulary

    shifted = [*PIECES[:4], *PIECES[5:], PIECES[4]]
    (folder / "vocab.txt").write_text("\n".join(shifted) + "\n")
    with pytest.raises(HeadsideError) as caught:
        check_pieces(folder, load_encoder(folder).pieces, SAID)
    assert caught.value.code == "tokenizer_unknown"


def test_padding_changes_nothing(folder: Path) -> None:
    encoder = load_encoder(folder)
    model = build_encoder(encoder.shape, read_weights(encoder, lambda *_: None))
    reader = Reader(model, encoder.pieces, threads=1)
    row = encoder.pieces.numbers("go to the island")
    padded = feeds([[*row, 0, 0, 0]], has_types=True)
    padded["attention_mask"][0, len(row) :] = 0

    (alone,) = reader.alone(["go to the island"])

    np.testing.assert_allclose(reader.read(padded)[0], alone, atol=1e-6)


def test_weights_that_make_up_for_others_lose_less() -> None:
    random = np.random.default_rng(3)
    inputs = random.standard_normal((400, 8)) @ random.standard_normal((8, 96))
    inputs += 0.1 * random.standard_normal(inputs.shape)
    weight = random.standard_normal((96, 40))
    scales = np.abs(weight).max(axis=0) / 127

    mended = rounded(weight, scales, inputs.T @ inputs)

    plain = np.round(weight / scales)
    lost = [np.square(inputs @ (w * scales - weight)).sum() for w in (plain, mended)]
    assert lost[1] < lost[0] / 2
    assert np.abs(mended).max() <= 127


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["trying ways", "writing", "timing"])
def test_killed_it_leaves_nothing_and_can_be_run_again(
    folder: Path, tmp_path: Path, stage: str
) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from quantize.stage import Stage\n"
        "from tests.quantize.test_encoder import asked, quantize_encoder\n"
        "class Killed(Stage):\n"
        "    def begin(self, name):\n"
        f"        if name == {stage!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "quantize_encoder(asked(Path(sys.argv[1]), Path(sys.argv[2])), Killed())\n"
    )
    out = tmp_path / "out"

    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(out)], check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert made(folder, out).is_passed
    assert not out.with_name("out.part").exists()
