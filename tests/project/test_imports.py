"""The runtime loads no training library, and starting the command loads no model's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = {"accelerate", "optimum", "peft", "torch", "transformers"}
VENDORS = {"ctranslate2", "faster_whisper", "llama_cpp", "onnxruntime", "sounddevice"}

IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""


def _loaded_by(*names: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout)
    return {name.partition(".")[0] for name in modules}


def test_models_loads_no_vendor_library() -> None:
    assert not (TRAINING | VENDORS | {"edge", "quantize"}) & _loaded_by("models")


def test_command_starts_without_vendor_libraries() -> None:
    assert not (TRAINING | VENDORS | {"quantize"}) & _loaded_by("edge.cli")


@pytest.mark.requires_system("libportaudio2")
def test_whole_runtime_loads_no_training_library() -> None:
    loaded = _loaded_by("edge", "models")
    assert not (TRAINING | {"quantize"}) & loaded
    assert loaded >= {"edge", "faster_whisper", "llama_cpp", "models", "sounddevice"}


def test_importing_prints_nothing_and_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import edge.cli, models, quantize"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
