"""A billion weights: little memory, and a kill in every stage changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from models.store import cache_root
from quantize.job import IMATRIX, MODEL
from quantize.texts import python_topics
from tests.quantize.conftest import change_json

pytestmark = [pytest.mark.slow, pytest.mark.models]

# The layers of a model of eight billion weights, four of them: tensors are larger than
# those of a model of one billion, and fewer, so that it takes minutes and not hours.
WIDTH, INNER, LAYERS, KEPT, WORDS, HEAD = 4096, 14336, 4, 1024, 49152, 128
MOST_ANONYMOUS_BYTES = 3 * 10**9
STAGES = (
    "checking the source",
    "converting",
    "checking the conversion",
    "calibrating",
    "seeing what goes together",
    "measuring tensors",
    "mending losses",
    "quantizing",
    "evaluating",
)
BFLOAT_ONE = 0x3F80


def shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a Llama's weights, by their names."""
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (WORDS, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    for n in range(LAYERS):
        layer = f"model.layers.{n}"
        found |= {
            f"{layer}.self_attn.q_proj.weight": (WIDTH, WIDTH),
            f"{layer}.self_attn.k_proj.weight": (KEPT, WIDTH),
            f"{layer}.self_attn.v_proj.weight": (KEPT, WIDTH),
            f"{layer}.self_attn.o_proj.weight": (WIDTH, WIDTH),
            f"{layer}.mlp.gate_proj.weight": (INNER, WIDTH),
            f"{layer}.mlp.up_proj.weight": (INNER, WIDTH),
            f"{layer}.mlp.down_proj.weight": (WIDTH, INNER),
            f"{layer}.input_layernorm.weight": (WIDTH,),
            f"{layer}.post_attention_layernorm.weight": (WIDTH,),
        }
    return found


@pytest.fixture(scope="module")
def large(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 1.07 billion random weights in bfloat16."""
    folder = tmp_path_factory.mktemp("large") / "large"
    shutil.copytree(smollm, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    change_json(
        folder / "config.json",
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        intermediate_size=INNER,
        num_attention_heads=WIDTH // HEAD,
        num_key_value_heads=KEPT // HEAD,
        head_dim=HEAD,
        dtype="bfloat16",
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    header, end = {}, 0
    for name, shape in shapes().items():
        n_bytes = 2 * int(np.prod(shape))
        header[name] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [end, end + n_bytes],
        }
        end += n_bytes
    told = json.dumps(header).encode()
    random = np.random.default_rng(1)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(told)) + told)
        for shape in shapes().values():
            n = int(np.prod(shape))
            if len(shape) == 1:
                file.write(np.full(n, BFLOAT_ONE, np.uint16).tobytes())
                continue
            for _ in range(0, n, WIDTH * 512):
                some = 0.02 * random.standard_normal(WIDTH * 512, np.float32)
                file.write((some.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """Few texts, so that it takes minutes and not hours."""
    folder = tmp_path_factory.mktemp("texts")
    topics = [one.text for one in python_topics()]
    given = []
    for option, first, n in (("--calibration", 0, 10), ("--eval", 30, 2)):
        path = folder / f"{option[2:]}.jsonl"
        lines = (json.dumps({"text": text}) for text in topics[first : first + n])
        path.write_text("\n".join(lines))
        given += [option, str(path)]
    return given


class Memory:
    """The most memory of their own that a process and its children had together."""

    def __init__(self, pid: int) -> None:
        self.most_bytes = 0
        self._is_over = Event()
        self._thread = Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends watching."""
        self._is_over.set()
        self._thread.join()

    def _watch(self, pid: int) -> None:
        while not self._is_over.wait(0.2):
            self.most_bytes = max(self.most_bytes, sum(map(anonymous, family(pid))))


def family(pid: int) -> list[int]:
    """Returns a process and all that came from it."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children")
        try:
            found += map(int, children.read_text().split())
        except OSError:
            continue
    return found


def anonymous(pid: int) -> int:
    """Returns the bytes of memory that no file backs."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if "RssAnon" in line)


def run(
    large: Path, out: Path, cache: Path, texts: Sequence[str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge.cli", "quantize", "llm", str(large)]
    options = ["-o", str(out), "--bpw", "4.8", "--guard-kl", "100", *texts]
    if not cache.exists():
        cache.mkdir()
        for one in cache_root().iterdir():  # the converter lies there
            if one.name != "quantize":
                (cache / one.name).symlink_to(one)
    return subprocess.Popen(
        [*command, *options],
        env={**os.environ, "HEADSIDE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def killed_in(process: subprocess.Popen[bytes], stage: str) -> bool:
    """Kills a process soon after a stage began; whether it came to that stage."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.decode().strip() == f"{stage} ...":
            time.sleep(3)
            process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_it_takes_little_memory_and_survives_every_kill(
    large: Path, texts: Sequence[str], tmp_path: Path
) -> None:
    whole = run(large, tmp_path / "whole", tmp_path / "a", texts)
    memory = Memory(whole.pid)
    _, told = whole.communicate()
    memory.stop()
    assert whole.returncode == 0, told.decode()[-2000:]
    sys.stderr.write(f"{memory.most_bytes / 1e6:.0f} MB anonymous at most\n")

    out = tmp_path / "out"
    killed = [
        stage
        for stage in STAGES
        if killed_in(run(large, out, tmp_path / "b", texts), stage)
    ]
    last = run(large, out, tmp_path / "b", texts)
    _, told = last.communicate()

    assert last.returncode == 0, told.decode()[-2000:]
    assert memory.most_bytes <= MOST_ANONYMOUS_BYTES
    assert killed == list(STAGES)
    assert sha256(out / MODEL) == sha256(tmp_path / "whole" / MODEL)
    assert sha256(out / IMATRIX) == sha256(tmp_path / "whole" / IMATRIX)
