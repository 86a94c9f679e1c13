"""Vision models as the runtime uses them, on networks of a few bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from edge.backends import vision as backend
from edge.backends.vision import OnnxVision
from edge.commands.look import app
from edge.kept import KeptFiles
from edge.seeing import find_vision, load_names
from edge.vision import Output, VisionError, VisionFiles, labels_of, probabilities
from models.errors import HeadsideError, ModelError
from models.preprocessing import FILE, Preprocessing, save_preprocessing
from models.store import Store

Floats = npt.NDArray[np.float32]
SIDE, N_CLASSES = 8, 4
PLAIN = Preprocessing(height=SIDE, width=SIDE)
NAMES = ("anchor", "boat", "crate", "door")


def tensor(name: str, values: npt.NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(values, name)


def saved(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[TensorProto] = (),
    *,
    given: Sequence[int | str] = (1, 3, SIDE, SIDE),
    said: Sequence[int | str] | None = (1, N_CLASSES),
) -> Path:
    """Returns a file with a network from x to y."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, said)],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def arrays() -> tuple[Floats, Floats]:
    """The weights of both layers: what is red is class 0, green 1, blue 2."""
    conv = np.eye(N_CLASSES, 3, dtype=np.float32).reshape(N_CLASSES, 3, 1, 1)
    return conv, np.eye(N_CLASSES, dtype=np.float32) * 4


def classifier(path: Path) -> Path:
    """A convolution, the mean over the picture, and a layer of classes."""
    conv, dense = arrays()
    node = helper.make_node
    return saved(
        path,
        [
            node("Conv", ["x", "conv"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "dense"], ["y"]),
        ],
        [tensor("conv", conv), tensor("dense", dense)],
    )


def small_classifier(path: Path) -> Path:
    """The same in eight bits, as `headside quantize vision` writes it."""
    conv, dense = arrays()
    step = np.float32(1 / 64)
    weights = [
        tensor("step", np.array(step)),
        tensor("zero", np.array(0, np.int8)),
        tensor("conv8", np.round(conv / step).astype(np.int8)),
        tensor("wide", np.array(4 * step)),
        tensor("dense8", np.round(dense / (4 * step)).astype(np.int8)),
    ]
    nodes = []

    def through(name: str) -> str:
        nodes.append(
            helper.make_node(
                "QuantizeLinear", [name, "step", "zero"], [f"{name}.q"], name=f"{name}q"
            )
        )
        return from_eight(f"{name}.q", "step")

    def from_eight(name: str, scale: str) -> str:
        nodes.append(
            helper.make_node("DequantizeLinear", [name, scale, "zero"], [f"{name}.d"])
        )
        return f"{name}.d"

    def add(kind: str, *inputs: str) -> str:
        out = "y" if kind == "Gemm" else kind.lower()
        nodes.append(helper.make_node(kind, inputs, [out]))
        return out

    conv_out = add("Conv", through("x"), from_eight("conv8", "step"))
    pooled = through(add("GlobalAveragePool", through(conv_out)))
    add("Gemm", add("Flatten", pooled), from_eight("dense8", "wide"))
    return saved(path, nodes, weights)


def identity(path: Path, how: Preprocessing = PLAIN) -> Path:
    """A network that says what it is given."""
    sides = (how.height, how.width)
    shape = (1, 3, *sides) if how.layout == "nchw" else (1, *sides, 3)
    return saved(
        path, [helper.make_node("Identity", ["x"], ["y"])], given=shape, said=shape
    )


def files_of(model: Path, how: Preprocessing = PLAIN) -> VisionFiles:
    """Returns a network that counts as vouched for, with its preprocessing."""
    path = model.with_name(FILE)
    save_preprocessing(path, how)
    return VisionFiles(model=model, preprocess=path, is_vouched=True)


def filled(colour: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


@pytest.fixture
def kept(tmp_path: Path) -> KeptFiles:
    return KeptFiles(tmp_path / "graphs")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as `headside quantize vision` makes it."""
    folder = tmp_path / "made"
    folder.mkdir()
    files_of(small_classifier(folder / "model.onnx"))
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Green."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((20, 30, 3), (10, 240, 10), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("make", [classifier, small_classifier])
def test_a_classifier_tells_the_likeliest_classes_first(
    make: Any, tmp_path: Path
) -> None:
    model = OnnxVision(files_of(make(tmp_path / "net.onnx")), names=NAMES)
    seen = model.look(filled((64, 255, 128)), n_labels=3)

    assert [label.name for label in seen.labels] == ["boat", "crate", "anchor"]
    assert [label.number for label in seen.labels] == [1, 2, 0]
    scores = np.array([64 / 255, 1, 128 / 255, 0]) * 4
    wanted = np.exp(scores) / np.exp(scores).sum()
    told = [label.confidence for label in seen.labels]
    assert told == pytest.approx(sorted(wanted)[:0:-1], abs=0.01)
    assert seen.outputs[0].values.shape == (1, N_CLASSES)
    assert min(seen.prepare_ms, seen.run_ms) > 0


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_model_is_given_exactly_what_was_saved(
    layout: str, order: str, tmp_path: Path
) -> None:
    how = Preprocessing(
        height=6,
        width=10,
        order=order,
        scale=1 / 127.5,
        mean=(0.25, 0.5, 1.0),
        std=(0.5, 1.0, 2.0),
        layout=layout,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    model = OnnxVision(files_of(identity(tmp_path / "net.onnx", how), how))

    (output,) = model.look(pixels).outputs

    channels = (
        pixels
        if order == "rgb"
        else np.stack([pixels[..., 2], pixels[..., 1], pixels[..., 0]], axis=-1)
    )
    wanted = (channels / 127.5 - [0.25, 0.5, 1.0]) / [0.5, 1.0, 2.0]
    wanted = wanted if layout == "nhwc" else np.moveaxis(wanted, -1, 0)
    np.testing.assert_allclose(output.values[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [classifier, small_classifier])
def test_the_second_start_reads_the_optimised_graph_and_says_the_same(
    make: Any, kept: KeptFiles, tmp_path: Path
) -> None:
    files = files_of(make(tmp_path / "net.onnx"))
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    first, second = (OnnxVision(files, kept=kept) for _ in range(2))

    assert [first.start.is_kept, second.start.is_kept] == [False, True]
    (one,), (other,) = first.look(pixels).outputs, second.look(pixels).outputs
    np.testing.assert_array_equal(one.values, other.values)
    assert sorted(path.suffix for path in kept.folder.iterdir()) == ["", ".kept"]


@pytest.mark.parametrize("damage", ["altered", "cut", "emptied"])
def test_a_kept_graph_that_is_broken_is_made_again(
    damage: str, kept: KeptFiles, tmp_path: Path
) -> None:
    files = files_of(classifier(tmp_path / "net.onnx"))
    OnnxVision(files, kept=kept)
    (path,) = kept.folder.glob("*.kept")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    damaged = {"altered": bytes(content), "cut": bytes(content[:-9]), "emptied": b""}
    path.write_bytes(damaged[damage])

    again = OnnxVision(files, kept=kept)

    assert not again.start.is_kept
    assert again.look(filled((0, 0, 255))).labels[0].number == 2
    assert OnnxVision(files, kept=kept).start.is_kept


def test_a_kept_graph_that_does_not_load_is_made_again(
    kept: KeptFiles, tmp_path: Path
) -> None:
    files = files_of(classifier(tmp_path / "net.onnx"))
    name = backend._graph_name(files.model.read_bytes())
    assert kept.write(name, b"sealed, and no graph")

    assert not OnnxVision(files, kept=kept).start.is_kept
    assert OnnxVision(files, kept=kept).start.is_kept


def test_another_model_or_runtime_has_another_graph(
    kept: KeptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OnnxVision(files_of(classifier(tmp_path / "net.onnx")), kept=kept)

    other = files_of(small_classifier(tmp_path / "net.onnx"))
    assert not OnnxVision(other, kept=kept).start.is_kept
    monkeypatch.setattr("onnxruntime.__version__", "0.0.1")
    assert not OnnxVision(other, kept=kept).start.is_kept


def test_where_nothing_can_be_kept_the_model_runs_all_the_same(
    kept: KeptFiles, tmp_path: Path
) -> None:
    files = files_of(classifier(tmp_path / "net.onnx"))
    nowhere = KeptFiles(tmp_path / "gone")
    nowhere.folder = tmp_path / "not" / "there"
    for each in (None, KeptFiles(kept.folder, cap_bytes=10), nowhere):
        model = OnnxVision(files, kept=each)
        assert not model.start.is_kept
        assert model.look(filled((255, 0, 0))).labels[0].number == 0


def refusal(files: VisionFiles) -> VisionError:
    """Returns why a model is not loaded, or does not look."""
    with pytest.raises(VisionError) as caught:
        OnnxVision(files).look(filled((0, 0, 0)))
    return caught.value


def test_a_model_of_another_size_than_its_preprocessing_is_refused(
    tmp_path: Path,
) -> None:
    path = classifier(tmp_path / "net.onnx")
    other = Preprocessing(height=16, width=SIDE)

    error = refusal(files_of(path, other))
    assert error.code == "vision_input"
    assert "1 x 3 x 8 x 8" in error.message
    assert "1 x 3 x 16 x 8" in error.message
    turned = Preprocessing(height=SIDE, width=SIDE, layout="nhwc")
    assert refusal(files_of(path, turned)).code == "vision_input"


def test_a_size_that_shows_only_when_it_runs_is_told_too(tmp_path: Path) -> None:
    weight = tensor("w", np.ones((3 * SIDE * SIDE, N_CLASSES), np.float32))
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    path = saved(tmp_path / "net.onnx", nodes, [weight], given=(1, 3, "h", "w"))

    assert refusal(files_of(path, Preprocessing(height=5, width=5))).code == (
        "vision_failed"
    )


def test_broken_files_are_told_and_end_nothing(tmp_path: Path) -> None:
    whole = classifier(tmp_path / "net.onnx").read_bytes()
    for content in (b"", b"no graph" * 40, whole[: len(whole) // 2]):
        path = tmp_path / "bad.onnx"
        path.write_bytes(content)
        assert refusal(files_of(path)).code == "vision_model"
    outside = tensor("w", np.ones((1, N_CLASSES), np.float32))
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/hostname")
    nodes = [helper.make_node("Identity", ["w"], ["y"])]
    path = saved(tmp_path / "outside.onnx", nodes, [outside])
    assert refusal(files_of(path)).code == "vision_model"


def test_an_answer_that_is_no_number_is_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Log", ["f"], ["l"]),
        helper.make_node("Sub", ["l", "l"], ["y"]),
    ]
    path = saved(tmp_path / "net.onnx", nodes, said=(1, 3))

    assert refusal(files_of(path)).code == "vision_not_finite"


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    model = OnnxVision(files_of(classifier(tmp_path / "net.onnx")))
    model.close()

    with pytest.raises(VisionError, match="closed"):
        model.look(filled((0, 0, 0)))


def unvouched(model: Path) -> VisionFiles:
    files = files_of(model)
    return VisionFiles(model=files.model, preprocess=files.preprocess)


def test_a_stranger_is_tried_in_a_process_of_its_own_once(
    kept: KeptFiles, tmp_path: Path
) -> None:
    files = unvouched(classifier(tmp_path / "net.onnx"))

    first, second = (OnnxVision(files, kept=kept) for _ in range(2))

    assert first.start.trial_ms > 0
    assert (second.start.trial_ms, second.start.is_kept) == (0, True)


def test_a_stranger_that_never_ends_or_takes_all_memory_is_refused(
    kept: KeptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_TRIAL_CPU_S", 3)
    for make, told in ((endless, "too long"), (greedy, "")):
        files = unvouched(make(tmp_path / f"{make.__name__}.onnx"))
        with pytest.raises(VisionError) as caught:
            OnnxVision(files, kept=kept)

        assert str(files.model) in caught.value.message
        assert told in caught.value.message
    assert not list(kept.folder.glob("*.kept"))


def endless(path: Path) -> Path:
    """A network that goes round and round."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["on2"]),
            helper.make_node("Tanh", ["v"], ["v2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
        ],
    )
    return saved(
        path,
        [helper.make_node("Loop", ["n", "go", "x"], ["y"], body=body)],
        [tensor("n", np.array(2**62)), tensor("go", np.array(True))],
        said=None,
    )


def greedy(path: Path) -> Path:
    """A network that asks for some hundred gigabytes."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Mul", ["s", "by"], ["many"]),
        helper.make_node("Expand", ["one", "many"], ["y"]),
    ]
    by = np.array([1 << 10, 1 << 10, 1 << 5, 1 << 2])
    one = np.ones((1, 1, 1, 1), np.float32)
    return saved(path, nodes, [tensor("by", by), tensor("one", one)], said=None)


def test_probabilities_are_told_as_they_are() -> None:
    certain = np.array([0.1, 0.7, 0.2])

    np.testing.assert_array_equal(probabilities(certain), certain)
    np.testing.assert_allclose(probabilities(np.array([1e4, 1e4])), [0.5, 0.5])


def test_names_have_to_belong_to_the_model() -> None:
    def output(*shape: int) -> Output:
        return Output(name="y", values=np.zeros(shape, np.float32))

    assert labels_of([output(1, 3, 8, 8)]) == ()
    assert labels_of([output(2, 4)]) == ()
    assert labels_of([output(1, 4), output(1, 4)]) == ()
    assert len(labels_of([output(1, 4)], NAMES, 9)) == 4
    for outputs, code in (
        ([output(1, 5)], "labels_count"),
        ([output(1, 8, 8)], "labels_for_none"),
    ):
        with pytest.raises(VisionError) as caught:
            labels_of(outputs, NAMES)
        assert caught.value.code == code


def test_labels_are_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffanchor\r\n\r\ncaf\u00e9 au lait\r\n".encode())

    assert load_names(path) == ("anchor", "", "caf\u00e9 au lait")
    for content in (b"", b"\n\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(VisionError, match="labels"):
            load_names(path)
    with pytest.raises(VisionError, match="labels"):
        load_names(tmp_path)


def test_a_model_is_found_by_folder_file_or_name(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    store = Store(root, manifest_folders=(root / "manifests",))
    for name, kind in (("net", "vision"), ("other", "vad")):
        write_manifest(root, name, kind, made)

    for name in (str(made), str(made / "model.onnx")):
        assert find_vision(name, None, store) == VisionFiles(
            model=made / "model.onnx", preprocess=made / FILE
        )
    found = find_vision("net", None, store)
    assert found.model == root / "models" / "net" / "model.onnx"
    assert found.is_vouched
    for name, code in (
        ("other", "vision_kind"),
        ("nowhere", "model_unknown"),
        ("no/where", "vision_missing"),
        ("no.onnx", "vision_missing"),
    ):
        with pytest.raises(HeadsideError) as caught:
            find_vision(name, None, store)
        assert caught.value.code == code


def write_manifest(root: Path, name: str, kind: str, made: Path) -> None:
    """Puts a model into a store."""
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (root / "manifests").mkdir(exist_ok=True)
    lines = [f'name = "{name}"', f'kind = "{kind}"', 'format = "onnx"']
    lines += [f'{key} = "x"' for key in ("licence", "upstream", "provenance")]
    for file in ("model.onnx", FILE):
        content = (made / file).read_bytes()
        (folder / file).write_bytes(content)
        lines += ["[[files]]", f'path = "{file}"', f"size_bytes = {len(content)}"]
        lines += [f'sha256 = "{sha256(content).hexdigest()}"']
        lines += [f'source = "file:{file}"']
    text = "\n".join(lines)
    (root / "manifests" / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_folder_that_lacks_a_file_is_told(made: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", manifest_folders=())
    other = tmp_path / "other.toml"
    save_preprocessing(other, PLAIN)
    (made / FILE).unlink()

    with pytest.raises(VisionError) as caught:
        find_vision(str(made), None, store)
    assert caught.value.code == "preprocess_missing"
    assert FILE in caught.value.message
    assert find_vision(str(made), other, store).preprocess == other
    (made / "model.onnx").unlink()
    with pytest.raises(VisionError, match=r"holds no model\.onnx"):
        find_vision(str(made), other, store)


def test_a_preprocessing_that_is_wrong_names_its_file(made: Path) -> None:
    (made / FILE).write_text('size = [8, 8]\norder = "gbr"\n', encoding="utf-8")

    with pytest.raises(ModelError, match="order must be one of"):
        OnnxVision(VisionFiles(model=made / "model.onnx", preprocess=made / FILE))


def look(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Returns how `headside look` ended."""
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "look", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "HEADSIDE_CACHE": str(tmp_path / "cache")},
        timeout=300,
        check=False,
    )


def test_look_tells_people_and_machines_the_same(
    made: Path, photo: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(("a", "buoy \x1b[2J", "c", "d")), encoding="utf-8")
    asked = (photo, "--model", made, "--labels", labels, "--repeats", "2")

    page = look(tmp_path, *asked, "--top", "1", "--threads", "1")
    lines = look(tmp_path, *asked, "--device", "quest3", "--json")

    assert (page.returncode, page.stderr) == (0, "")
    assert "buoy" in page.stdout
    assert "\x1b[2J" not in page.stdout
    assert "made now" in page.stdout
    assert "30 x 20" in page.stdout
    assert "95th percentile" in page.stdout
    assert (lines.returncode, lines.stderr) == (0, "")
    model, seen = map(json.loads, lines.stdout.splitlines())
    assert model["graph_from_disk"] is True
    assert seen["labels"][0]["number"] == 1
    whole = sum(label["confidence"] for label in seen["labels"])
    assert whole == pytest.approx(1, abs=1e-5)
    (output,) = seen["outputs"]
    assert (output["shape"], output["type"]) == ([1, 4], "float32")
    assert seen["run_ms"]["p95"] >= seen["run_ms"]["median"] > 0


def test_look_tells_the_outputs_of_what_is_no_classifier(
    photo: Path, tmp_path: Path
) -> None:
    how = tmp_path / "how.toml"
    save_preprocessing(how, PLAIN)
    model = identity(tmp_path / "net.onnx")
    done = look(
        tmp_path, photo, photo, "--model", model, "--preprocess", how, "--repeats", "1"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("y: 1 x 3 x 8 x 8, float32, 0.03922 to 0.9412") == 2


def test_look_refuses_in_plain_words(
    made: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path / "cache"))
    grey, junk = tmp_path / "grey.png", tmp_path / "junk.jpg"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(grey)
    junk.write_bytes(b"no picture")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes((made / "model.onnx").read_bytes()[:-40])
    short = tmp_path / "short.txt"
    short.write_text("anchor\nboat\n", encoding="utf-8")
    at, how = ("--model", made), ("--preprocess", made / FILE)
    for arguments, told in (
        ((tmp_path / "no.png", *at), "no.png is not there"),
        ((tmp_path, *at), "is a folder"),
        ((grey, *at), "is grey"),
        ((junk, *at), "cannot be read as a picture"),
        ((photo, "--model", broken, *how), "broken.onnx"),
        ((photo, *at, "--labels", short), "2 lines, and the model has 4 classes"),
        ((photo, *at, "--device", "quest9"), "quest9"),
    ):
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        assert isinstance(done.exception, HeadsideError)
        assert told in done.exception.message


def test_an_error_is_a_line_for_machines(made: Path, tmp_path: Path) -> None:
    done = look(tmp_path, tmp_path / "no.png", "--model", made, "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "picture_missing"
    assert done.stderr.startswith("error: The picture ")
    assert "Traceback" not in done.stderr
