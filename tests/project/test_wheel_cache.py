"""llama.cpp is compiled once per version, flags and processor, and never half."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import wheels
from wheels import BuildError, WheelSpec, ensure_wheel

SPEC = WheelSpec(
    patches=("set(X OFF)",),
    python_tag="cp311",
    machine="x86_64",
    libc="glibc-2.36",
    cpu_features=("avx2", "fma"),
)


def build_fake(spec: WheelSpec, work: Path) -> Path:
    wheel = work / f"llama_cpp_python-{spec.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llama_cpp/lib/libllama.so", b"\x7fELF")
    return wheel


def build_never(spec: WheelSpec, work: Path) -> Path:
    raise AssertionError("compiled although the cache holds the wheel")


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, version="0.3.37"),
        replace(SPEC, sdist_sha256="0" * 64),
        replace(SPEC, defines={**SPEC.defines, "GGML_OPENMP": "other"}),
        replace(SPEC, patches=("set(X ON)",)),
        replace(SPEC, python_tag="cp312"),
        replace(SPEC, machine="aarch64"),
        replace(SPEC, libc="glibc-2.41"),
        replace(SPEC, cpu_features=("avx2", "avx512f", "fma")),
    ],
)
def test_wheel_that_may_not_fit_is_not_reused(tmp_path: Path, other: WheelSpec) -> None:
    ours = ensure_wheel(SPEC, tmp_path, build_fake)
    assert ensure_wheel(other, tmp_path, build_fake) != ours


def test_cached_wheel_is_not_compiled_again(tmp_path: Path) -> None:
    folder = ensure_wheel(SPEC, tmp_path, build_fake)
    assert ensure_wheel(SPEC, tmp_path, build_never) == folder
    assert [path.suffix for path in folder.iterdir()] == [".whl"]


def test_stopped_build_leaves_no_wheel_and_goes_on(tmp_path: Path) -> None:
    def build_stopped(spec: WheelSpec, work: Path) -> Path:
        build_fake(spec, work)
        raise KeyboardInterrupt

    def build_rest(spec: WheelSpec, work: Path) -> Path:
        [wheel] = work.glob("*.whl")  # what the stopped build had done is still there
        return wheel

    with pytest.raises(KeyboardInterrupt):
        ensure_wheel(SPEC, tmp_path, build_stopped)
    assert not (tmp_path / SPEC.key).exists()
    assert ensure_wheel(SPEC, tmp_path, build_rest).is_dir()
    assert not (tmp_path / f"{SPEC.key}.work").exists()


def test_wheel_without_the_library_is_refused(tmp_path: Path) -> None:
    def build_empty(spec: WheelSpec, work: Path) -> Path:
        wheel = work / "empty.whl"
        with zipfile.ZipFile(wheel, "w"):
            return wheel

    with pytest.raises(BuildError, match="libllama"):
        ensure_wheel(SPEC, tmp_path, build_empty)
    assert not (tmp_path / SPEC.key).exists()


BUILD_SLOWLY = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from test_wheel_cache import SPEC, build_fake
from wheels import ensure_wheel

cache = Path(sys.argv[3])

def build(spec, work):
    with (cache / "builds").open("a") as builds:
        builds.write("one\\n")
    until = time.monotonic() + float(sys.argv[4])
    while time.monotonic() < until and not (cache / "go").exists():
        time.sleep(0.02)
    return build_fake(spec, work)

ensure_wheel(SPEC, cache, build)
"""


def _start(cache: Path, seconds: str) -> subprocess.Popen[str]:
    paths = [str(Path(wheels.__file__).parent), str(Path(__file__).parent)]
    command = [sys.executable, "-c", BUILD_SLOWLY, *paths, str(cache), seconds]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path.name} never appeared")


def test_two_processes_compile_once(tmp_path: Path) -> None:
    first = _start(tmp_path, "60")
    _wait_for(tmp_path / "builds")
    second = _start(tmp_path, "60")
    assert second.stderr is not None
    assert second.stderr.readline() == "waiting for another build of llama.cpp\n"
    (tmp_path / "go").touch()
    outcomes = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "builds").read_text() == "one\n"
    assert outcomes == ["", ""]


def test_killed_build_blocks_nobody(tmp_path: Path) -> None:
    killed = _start(tmp_path, "60")
    _wait_for(tmp_path / "builds")
    killed.kill()
    killed.communicate(timeout=60)
    assert not (tmp_path / SPEC.key).exists()
    assert ensure_wheel(SPEC, tmp_path, build_fake).is_dir()


def test_cache_folder_is_the_users_unless_chosen(tmp_path: Path) -> None:
    chosen = {"HEADSIDE_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/elsewhere"}
    assert wheels.wheel_cache(chosen) == tmp_path / "wheels"
    shared = {"XDG_CACHE_HOME": str(tmp_path)}
    assert wheels.wheel_cache(shared) == tmp_path / "headside" / "wheels"
    assert wheels.wheel_cache({}) == Path.home() / ".cache" / "headside" / "wheels"


@pytest.mark.parametrize("word", ["flags", "Features"])
def test_processor_features_are_read_in_any_order(tmp_path: Path, word: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: any\n{word}\t\t: fma avx2 sse\n\n" * 2)
    assert wheels.cpu_features(cpuinfo) == ("avx2", "fma", "sse")
