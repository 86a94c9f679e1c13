"""Names become objects; a name that means nothing becomes a message."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event

import pytest

from edge.backends import llama as llama_backend
from edge.backends.echo import EchoDetector, EchoModel, EchoRecogniser
from edge.build import (
    RuntimeOptions,
    build_runtime,
    microphone_name,
    open_sound,
)
from edge.engines import ECHO, BuildError
from edge.intent import Tier
from edge.llm.model import Sampling
from edge.pipeline import Runtime
from edge.probe import ProbeError
from models.device import device_profile
from models.errors import HeadsideError, ModelError
from models.pack_file import load_pack
from models.store import Store
from tests.edge.conftest import TinyModels

PACK = """
format = 1
name = "quick"
[listen]
endpoint_ms = [200, 500]
instant = false
[understand]
tiers = ["grammar"]
[character.Mara]
persona = "Harbour pilot, who has seen every ship come and go these forty years."
fallback = ["Say again?"]
[character.Tom]
persona = "Fisherman."
fallback = ["Eh?"]
[intents.wave]
say = ["wave"]
"""


@pytest.fixture
def empty_store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def build(store: Store, folder: Path, **options: object) -> Runtime:
    """Returns a small pack of stand-ins, but for what is asked otherwise."""
    (folder / "pack.toml").write_text(PACK)
    chosen = {"vad": ECHO, "asr": ECHO, "llm": ECHO, **options}
    return build_runtime(
        load_pack(str(folder)),
        store,
        RuntimeOptions(**chosen),  # type: ignore[arg-type]
    )


def test_a_runtime_of_stand_ins_needs_no_model(
    empty_store: Store, tmp_path: Path
) -> None:
    runtime = build(empty_store, tmp_path)

    assert isinstance(runtime.detector, EchoDetector)
    assert isinstance(runtime.recogniser, EchoRecogniser)
    assert isinstance(runtime.model, EchoModel)
    assert not empty_store.root.exists()


def test_what_the_pack_says_holds_unless_told_otherwise(
    empty_store: Store, tmp_path: Path
) -> None:
    runtime = build(empty_store, tmp_path)
    assert runtime.tiers == {Tier.GRAMMAR}
    assert runtime.conversation.character.name == "Mara"
    assert runtime.endpointing.complete_s == 0.2
    assert runtime.endpointing.open_s == 0.5
    assert not runtime.endpointing.instant

    runtime = build(empty_store, tmp_path, character="Tom", tiers=(Tier.LLM,))
    assert runtime.tiers == {Tier.LLM}
    assert runtime.conversation.character.name == "Tom"
    assert runtime.guard.line() == "Eh?"


def test_threads_are_those_of_the_device_and_never_more_than_here(
    empty_store: Store, tmp_path: Path
) -> None:
    n_here = len(os.sched_getaffinity(0))
    for device in ("desktop", "quest3", "quest2"):
        wanted = device_profile(device).n_inference_threads.value or n_here
        runtime = build(empty_store, tmp_path, device=device)
        assert 1 <= runtime.threads <= min(wanted, n_here)

    assert build(empty_store, tmp_path, threads=7).threads == 7


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"device": "nope"}, "device_unknown"),
        ({"character": "nope"}, "character_unknown"),
        ({"vad": "nope"}, "model_unknown"),
        ({"asr": "nope"}, "model_unknown"),
        ({"llm": "nope"}, "model_unknown"),
        ({"llm": "nope.gguf"}, "model_file_missing"),
        ({"vad": "nope.onnx"}, "model_file_missing"),
        ({"asr": "whisper-base"}, "model_missing"),
    ],
)
def test_a_name_that_means_nothing_is_an_error(
    empty_store: Store, tmp_path: Path, options: dict[str, str], code: str
) -> None:
    with pytest.raises(HeadsideError) as caught:
        build(empty_store, tmp_path, **options)

    assert caught.value.code == code
    assert caught.value.hint


def test_a_model_of_ones_own_is_tried_before_it_is_opened(
    empty_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"GGUF" + bytes(99))

    with pytest.raises(ProbeError, match=r"mine\.gguf cannot be used"):
        build(empty_store, tmp_path, llm=str(tmp_path / "mine.gguf"))


@pytest.mark.models
def test_a_model_for_something_else_is_an_error(store: Store, tmp_path: Path) -> None:
    for options in ({"llm": "whisper-base"}, {"vad": "whisper-base"}):
        with pytest.raises(BuildError) as caught:
            build(store, tmp_path, **options)
        assert caught.value.code == "model_format"

    with pytest.raises(HeadsideError) as not_speech:
        build(store, tmp_path, asr="silero-vad")
    assert not_speech.value.code == "asr_model"


@pytest.mark.models
def test_a_missing_engine_is_an_error(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "edge.backends.llama", None)

    with pytest.raises(BuildError) as caught:
        build(store, tmp_path, llm="smollm2-135m-instruct-q4_1")

    assert caught.value.code == "engine_missing"
    assert "headside doctor" in caught.value.hint


def test_a_missing_microphone_library_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "edge.backends.microphone", None)

    with pytest.raises(BuildError) as caught:
        microphone_name()

    assert "headside[mic]" in caught.value.hint


def test_a_sound_is_looked_at_before_it_is_pulled(tmp_path: Path) -> None:
    with pytest.raises(HeadsideError) as caught:
        open_sound(tmp_path / "nothing.wav")

    assert caught.value.code == "audio_missing"


def test_an_altered_model_is_not_opened(tmp_path: Path) -> None:
    altered = Store(tmp_path / "cache")
    folder = altered.folder("silero-vad")
    folder.mkdir(parents=True)
    (folder / "silero_vad_v6.onnx").write_bytes(b"x" * 1_245_151)

    with pytest.raises(ModelError) as caught:
        build(altered, tmp_path, vad="silero-vad")

    assert caught.value.code == "model_altered"


def forwards(runtime: Runtime) -> int:
    """Returns how often the model was run."""
    assert isinstance(runtime.model, llama_backend.Llama)
    return runtime.model._prefix.n_forwards


def test_what_was_prepared_is_there_at_the_next_start(
    empty_store: Store,
    tmp_path: Path,
    tiny: TinyModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path / "cache"))
    path = str(tiny.llama())
    n_read = []
    for _ in range(2):
        runtime = build(empty_store, tmp_path, llm=path, prepare=True)
        n_read.append(forwards(runtime))
        runtime.close()

    assert n_read[0] > 0
    assert n_read[1] == 0
    assert list((tmp_path / "cache" / "kept").glob("*.kept"))


def test_nothing_is_read_ahead_unless_asked_for(
    empty_store: Store, tmp_path: Path, tiny: TinyModels
) -> None:
    runtime = build(empty_store, tmp_path, llm=str(tiny.llama()))

    assert forwards(runtime) == 0
    runtime.close()


def test_where_nothing_can_be_kept_a_runtime_answers_all_the_same(
    empty_store: Store,
    tmp_path: Path,
    tiny: TinyModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path / "file"))

    path = str(tiny.llama())
    runtime = build(empty_store, tmp_path, llm=path, tiers=(Tier.LLM,), prepare=True)

    runtime.sampling = Sampling(max_tokens=20)

    assert list(runtime.read("wave", Event()))
    runtime.close()


@pytest.mark.models
def test_a_headset_keeps_less_of_what_was_read(store: Store, tmp_path: Path) -> None:
    options = {"llm": "smollm2-135m-instruct-q4_1", "threads": 1}
    sizes = {}
    for device in ("desktop", "quest3"):
        runtime = build(store, tmp_path, device=device, **options)
        assert list(runtime.read("What do you see?", Event()))
        assert isinstance(runtime.model, llama_backend.Llama)
        sizes[device] = len(runtime.model._prefix._state())
        runtime.close()

    assert sizes["quest3"] < 0.6 * sizes["desktop"]
