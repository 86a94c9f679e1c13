"""Small models of other architectures than the one that all else is tried on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from quantize.gguf import load_header
from quantize.job import MODEL, REPORT
from quantize.texts import python_topics

pytestmark = [pytest.mark.slow, pytest.mark.models]

SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": True,
    "initializer_range": 0.05,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen2": {},  # adds a bias to queries, keys and values
    "qwen3": {},  # norms of queries and keys
    "mistral": {"sliding_window": None},
    "gemma3_text": {"query_pre_attn_scalar": 64},  # four norms, scaled embeddings
    "smollm3": {},  # layers without positions
    "granite": {"logits_scaling": 4.0, "residual_multiplier": 0.5},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_converted_searched_and_judged(
    name: str, smollm: Path, tmp_path: Path
) -> None:
    folder = tmp_path / name
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **SHAPE, **ARCHITECTURES[name])
    auto: Any = AutoModelForCausalLM
    model = auto.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    for path in smollm.glob("*token*"):
        shutil.copy(path, folder)
    given = []
    topics = [one.text for one in python_topics()]
    for option, first, n in (("--calibration", 0, 12), ("--eval", 30, 2)):
        path = tmp_path / f"{option[2:]}.jsonl"
        lines = (json.dumps({"text": text}) for text in topics[first : first + n])
        path.write_text("\n".join(lines))
        given += [option, str(path)]
    command = [sys.executable, "-m", "edge.cli", "quantize", "llm", str(folder)]
    out = tmp_path / "out"
    options = ["-o", str(out), "--bpw", "5", "--guard-kl", "1", *given]

    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((out / REPORT).read_text())
    (this,) = report["methods"]
    assert 0 < this["summary"]["kl_mean"]["mean"] < 0.5
    types = {tensor.type.name for tensor in load_header(out / MODEL).tensors}
    assert types - {"f32", "f16"}
