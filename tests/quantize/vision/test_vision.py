"""`headside quantize vision`, end to end on a small network and drawn photographs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from models.manifest import load_manifest
from models.pictures import load_pixels
from models.preprocessing import load_preprocessing
from quantize.artifact import LostTooMuchError
from quantize.commands import app
from quantize.errors import QuantizeError
from quantize.stage import Stage
from quantize.vision.job import MODEL, Guard, Request
from quantize.vision.vision import quantize_vision
from tests.quantize.vision.conftest import SIDE, export

N = 64


@pytest.fixture
def request_(net: Path, photographs: Path, others: Path, how: Path) -> Request:
    return Request(
        source=str(net),
        out=how.parent / "small",
        calibration=photographs,
        evaluation=others,
        preprocess=how,
        threads=1,
        n_calibrating=24,
        n_judging=N,
        guard=Guard(float_share=0.5),
    )


def headside(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Returns how the command ended."""
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "quantize", "vision", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )


def test_a_model_a_preparation_a_manifest_and_a_report(request_: Request) -> None:
    report = quantize_vision(request_, Stage())

    out = request_.out
    session = onnxruntime.InferenceSession(out / MODEL)
    how = load_preprocessing(out / "preprocess.toml")
    picture = next(iter(sorted(request_.calibration.iterdir())))
    (logits,) = session.run(None, {"image": how.prepared(load_pixels(picture))})
    assert logits.shape == (1, 4)
    manifest = load_manifest(out / "small.toml")
    assert manifest.kind == "vision"
    assert {str(file.path) for file in manifest.files} == {MODEL, "preprocess.toml"}
    told = json.loads((out / "report.json").read_text())
    assert told["out"]["sha256"] == _sha256(out / MODEL)
    found = {one["name"]: one for one in told["findings"]}
    assert found["agreement_all"]["n"] == N
    assert found["agreement"]["value"] >= 0.99
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "plain export" in page
    assert report.is_passed


def test_the_same_again_is_the_same_bytes(request_: Request) -> None:
    again = replace(request_, out=request_.out.with_name("again"))

    quantize_vision(request_, Stage())
    quantize_vision(again, Stage())

    assert _sha256(request_.out / MODEL) == _sha256(again.out / MODEL)


def test_whole_photographs_are_neither_cut_nor_mirrored(request_: Request) -> None:
    report = quantize_vision(replace(request_, is_whole=True), Stage())

    assert [one.n for one in report.inputs] == [24, 12]
    assert {one.name: one.n for one in report.findings}["agreement_all"] == 12


class Gated(nn.Module):
    """Hard swish, squeeze and excite, and channels of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 2, 1, bias=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        swish, gate = nn.functional.hardswish, nn.functional.hardsigmoid
        x = swish(self.second(swish(self.first(image))))
        found: torch.Tensor = self.last(x * gate(self.squeeze(x.mean((2, 3), True))))
        return found


def test_gates_stay_float_and_channels_are_spread(
    request_: Request, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    network = Gated()
    with torch.no_grad():
        network.first.weight[0] *= 300
        network.second.weight[0] /= 300
    source = export(network, tmp_path / "gated.onnx")
    guard = Guard(sqnr_db=30, float_share=1.0)

    report = quantize_vision(
        replace(request_, source=str(source), guard=guard), Stage()
    )

    assert "channels spread" in report.method
    found = {one.name: one.value for one in report.findings}
    assert found["sqnr"] >= 30
    assert found["float_share"] == 0
    (plain,) = [way for way in report.ways if way.name.startswith("plain")]
    assert {one.name: one.value for one in plain.findings}["sqnr"] < 10


def test_two_models_beside_their_source(request_: Request, tmp_path: Path) -> None:
    report = quantize_vision(request_, Stage())
    given = [str(request_.out), request_.source]
    options = ["--reference", request_.source, "--eval", str(request_.evaluation)]

    found = CliRunner().invoke(
        app, ["compare", *given, *options, "--threads", "1", "--n-eval", "20", "--json"]
    )

    assert found.exception is None, found.exception
    ours, same = json.loads(found.stdout)
    assert (ours["name"], same["name"]) == tuple(given)
    assert ours["n_bytes"] == report.out.n_bytes
    by_name = {one["name"]: one for one in ours["findings"]}
    assert by_name["agreement_all"]["n"] == 20
    assert 10 < by_name["sqnr"]["value"] < 80
    by_name = {one["name"]: one for one in same["findings"]}
    assert by_name["agreement_all"]["value"] == 1
    assert by_name["sqnr"]["value"] > 100


def test_what_cannot_be_compared(request_: Request, tmp_path: Path) -> None:
    other = tmp_path / "model.gguf"
    other.touch()
    for second, code in (
        (str(other), "models_differ"),
        (str(tmp_path / "absent"), "model_unknown"),
        (str(tmp_path / "absent.onnx"), "model_unknown"),
        (request_.source, "pictures_missing"),
    ):
        found = CliRunner().invoke(
            app,
            ["compare", request_.source, second, "--reference", request_.source],
        )

        assert isinstance(found.exception, QuantizeError)
        assert found.exception.code == code


def test_what_loses_too_much_is_not_published(request_: Request) -> None:
    strict = replace(request_, guard=Guard(agreement=1.01))

    with pytest.raises(LostTooMuchError) as refused:
        quantize_vision(strict, Stage())

    assert not strict.out.exists()
    left = strict.out.with_name("small.refused")
    assert {path.name for path in left.iterdir()} == {"report.json", "report.html"}
    assert str(left) in refused.value.hint
    assert "agreement" in refused.value.message


def test_a_factory_with_its_state_dict(
    request_: Request, network: nn.Module, tmp_path: Path
) -> None:
    weights = tmp_path / "net.pt"
    torch.save(network.state_dict(), weights)
    source = "tests.quantize.vision.conftest:make"

    report = quantize_vision(replace(request_, source=source, weights=weights), Stage())

    assert any("was run" in note for note in report.notes)
    assert any("remembers" in note for note in report.notes)


def test_a_pickle_with_code_is_not_opened(request_: Request, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    weights = tmp_path / "evil.pt"
    torch.save({"layers.0.weight": Evil()}, weights)
    source = "tests.quantize.vision.conftest:make"

    with pytest.raises(QuantizeError, match=r"evil\.pt") as refused:
        quantize_vision(replace(request_, source=source, weights=weights), Stage())

    assert refused.value.code == "weights_unusable"
    assert not (tmp_path / "ran").exists()
    assert not request_.out.exists()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("scale = 1.0", "preprocess_wrong"),
        ("mean = [0.9, 0.9, 0.9]", "preprocess_wrong"),
    ],
)
def test_wrong_preparation_is_seen_in_what_flows(
    request_: Request, network: nn.Module, tmp_path: Path, line: str, code: str
) -> None:
    weights = tmp_path / "net.pt"
    torch.save(network.state_dict(), weights)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(f"size = [{SIDE}, {SIDE}]\n{line}\n")

    with pytest.raises(QuantizeError) as refused:
        quantize_vision(
            replace(
                request_,
                source="tests.quantize.vision.conftest:make",
                weights=weights,
                preprocess=wrong,
            ),
            Stage(),
        )

    assert refused.value.code == code


def test_a_model_of_another_size_is_refused(request_: Request, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("size = [48, 48]\n")

    with pytest.raises(QuantizeError) as refused:
        quantize_vision(replace(request_, preprocess=wrong), Stage())

    assert refused.value.code == "input_differs"
    assert not request_.out.exists()


def test_without_a_preparation_it_says_how_to_write_one(request_: Request) -> None:
    with pytest.raises(QuantizeError, match="prepared") as refused:
        quantize_vision(replace(request_, preprocess=None), Stage())

    assert "mean" in refused.value.hint


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "I;16"])
def test_other_pictures_end_it_with_one_line(
    request_: Request, tmp_path: Path, mode: str
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    ending = "jpg" if mode == "CMYK" else "png"
    if mode == "I;16":
        Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "photo.png")
    else:
        Image.new(mode, (40, 40)).save(folder / f"photo.{ending}")

    done = headside(
        request_.source,
        "--calibration",
        folder,
        "--preprocess",
        request_.preprocess,
        "-o",
        request_.out,
    )

    assert done.returncode == 1
    assert f"photo.{ending}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not request_.out.exists()


def test_killed_it_leaves_nothing_and_comes_out_the_same(request_: Request) -> None:
    arguments = [
        *(request_.source, "--calibration", request_.calibration),
        *("--eval", request_.evaluation, "--preprocess", request_.preprocess),
        *("-o", request_.out, "--n-calibration", 24, "--n-eval", N, "--threads", 1),
        *("--guard-float", 0.5),
    ]
    command = [sys.executable, "-m", "edge.cli", "quantize", "vision"]
    for stage in ("calibrating", "measuring layers", "evaluating ..."):
        with subprocess.Popen(
            [*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith(stage):
                    time.sleep(0.05)
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        assert not request_.out.exists()

    done = headside(*arguments, "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["out"]["sha256"] == _sha256(request_.out / MODEL)
    assert {path.name for path in request_.out.parent.iterdir()} <= {
        "small",
        "how.toml",
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
