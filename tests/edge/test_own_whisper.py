"""A Whisper of one's own, in a folder, hears as one of the store does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.build import RuntimeOptions, build_runtime, open_sound
from edge.engines import ECHO
from edge.evaluation.run import model_sha256
from edge.probe import ProbeError
from edge.vad import utterances
from models.errors import ModelError
from models.pack import PackModels
from models.pack_file import load_pack
from models.store import Store
from quantize.asr.publishing import write_int8

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def own(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's model, as `headside quantize asr` writes it."""
    folder = tmp_path_factory.mktemp("own") / "small-asr"
    folder.mkdir()
    write_int8(store.path(PackModels().asr), folder)
    return folder


def options(asr: str) -> RuntimeOptions:
    return RuntimeOptions(vad=ECHO, llm=ECHO, asr=asr, threads=1, device="desktop")


def test_a_folder_hears_as_the_store_does(
    store: Store,
    own: Path,
    silero: Silero,
    whisper: Whisper,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (utterance,) = utterances(open_sound(recordings / "goforward.raw"), silero)
    monkeypatch.chdir(own.parent)

    runtime = build_runtime(load_pack("explorer"), store, options(own.name))

    heard = runtime.recogniser.transcribe(utterance)
    assert heard == whisper.transcribe(utterance)
    assert heard.text == "Go forward 10 meters."


def test_a_folder_of_the_same_name_does_not_hide_a_model(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PackModels().asr).mkdir()
    monkeypatch.chdir(tmp_path)

    runtime = build_runtime(load_pack("explorer"), store, options(PackModels().asr))

    assert isinstance(runtime.recogniser, Whisper)


@pytest.mark.parametrize(
    ("harm", "code"),
    [("emptied", "model_file_kind"), ("cut", "model_file_bad"), ("gone", "")],
)
def test_a_folder_that_cannot_be_used(
    store: Store, own: Path, tmp_path: Path, harm: str, code: str
) -> None:
    folder = tmp_path / "mine"
    if harm != "gone":
        shutil.copytree(own, folder)
    if harm == "emptied":
        (folder / "model.bin").unlink()
    elif harm == "cut":
        (folder / "model.bin").write_bytes(b"\x06\0\0\0 and no more")

    with pytest.raises(ProbeError) as caught:
        build_runtime(load_pack("explorer"), store, options(str(folder)))

    assert caught.value.code == (code or "model_file_missing")
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_what_is_neither_a_path_nor_a_name(store: Store) -> None:
    with pytest.raises(ModelError) as caught:
        build_runtime(load_pack("explorer"), store, options("no-such-whisper"))

    assert caught.value.code == "model_unknown"


def test_an_evaluation_knows_it_by_its_weights(
    store: Store, own: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(own, tmp_path / "other")

    assert model_sha256(store, str(own)) == model_sha256(store, str(other))
    (other / "model.bin").write_bytes(b"other")
    assert model_sha256(store, str(own)) != model_sha256(store, str(other))
