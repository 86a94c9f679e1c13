"""Keeps a compiled llama-cpp-python wheel in a cache, and prints where it lies.

llama-cpp-python is published as source only, and compiling it takes minutes. This
script runs before anything is installed, so it needs nothing but Python itself. It
compiles the library once for each version, set of flags and processor; `make` then
installs from the printed folder with `--find-links`.

A finished wheel appears in the cache by a single rename. A build that was stopped goes
on where it was when the script is run again.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from progress import CommandError, Progress

VERSION = "0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"

# Headside calls llama.cpp's C interface and nothing above it. OpenMP is no faster:
# SmolLM2-135M Q4_1 decoded 38 tokens/s without and 36 with it on one thread, 64 and
# 60 on two (medians of three runs, two shared cores).
CMAKE_DEFINES = {
    "GGML_NATIVE": "ON",
    "GGML_OPENMP": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAVA_BUILD": "OFF",
}
HERE = Path(__file__).resolve().parent
BUILD_LOCK = HERE / "locks" / "build.txt"
CMAKE_PRELUDE = HERE / "llama.cmake"
PATCHES = (CMAKE_PRELUDE, HERE / "amx.h")


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSpec:
    """Everything that decides whether a compiled wheel can be used here."""

    version: str = VERSION
    sdist_sha256: str = SDIST_SHA256
    defines: Mapping[str, str] = field(default_factory=lambda: dict(CMAKE_DEFINES))
    patches: tuple[str, ...]
    """Text of the files that change how the source compiles."""
    python_tag: str
    """Interpreter tag, such as ``cp311``."""
    machine: str
    """Architecture, such as ``x86_64``."""
    libc: str
    """C library and its version, such as ``glibc-2.36``."""
    cpu_features: tuple[str, ...]
    """Instruction set extensions, sorted: native code traps where one is missing."""

    @property
    def key(self) -> str:
        """Name of the cache folder: readable front, hash of all the rest."""
        facts = [
            self.version,
            self.sdist_sha256,
            sorted(self.defines.items()),
            self.patches,
            self.python_tag,
            self.machine,
            self.libc,
            self.cpu_features,
        ]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"llama-cpp-python-{self.version}-{self.machine}-{digest[:16]}"


class BuildError(Exception):
    """The wheel could not be built; the text says why and what to do."""


Builder = Callable[[WheelSpec, Path], Path]
"""Builds a wheel inside a work folder that persists between tries; returns it."""


def host_spec(cpuinfo: Path = Path("/proc/cpuinfo")) -> WheelSpec:
    """Returns the spec of a wheel for this interpreter and processor."""
    version = sys.version_info
    return WheelSpec(
        patches=tuple(path.read_text() for path in PATCHES),
        python_tag=f"cp{version.major}{version.minor}",
        machine=platform.machine(),
        libc="-".join(platform.libc_ver()),
        cpu_features=cpu_features(cpuinfo),
    )


def cpu_features(cpuinfo: Path) -> tuple[str, ...]:
    """Returns the processor's features, sorted, or its name if none are listed."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    if found is None:
        return (platform.processor(),)
    return tuple(sorted(set(found[1].split())))


def wheel_cache(environ: Mapping[str, str]) -> Path:
    """Returns the folder that holds one folder per wheel; it may not exist yet."""
    if chosen := environ.get("HEADSIDE_CACHE"):
        return Path(chosen).expanduser().absolute() / "wheels"
    shared = environ.get("XDG_CACHE_HOME")
    user_cache = Path(shared) if shared else Path.home() / ".cache"
    return user_cache / "headside" / "wheels"


def ensure_wheel(spec: WheelSpec, cache: Path, build: Builder) -> Path:
    """Returns the folder holding the wheel for ``spec``, building it when missing."""
    ready = cache / spec.key
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{spec.key}.lock"):
        if ready.is_dir():  # built by another process while this one waited
            return ready
        work = cache / f"{spec.key}.work"
        work.mkdir(exist_ok=True)
        wheel = build(spec, work)
        _check_wheel(wheel)
        finished = work / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        finished.mkdir()
        shutil.move(wheel, finished / wheel.name)
        finished.rename(ready)
        shutil.rmtree(work, ignore_errors=True)
    return ready


def build_wheel(spec: WheelSpec, work: Path) -> Path:
    """Returns the wheel compiled from the published source, fetched with pip.

    Raises:
        BuildError: A tool is missing, the source is not the one expected, or the
            compiler failed.
    """
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise BuildError("there is no C++ compiler. Install one: apt install g++")
    log = work / "build.log"
    with Progress(log, sys.stderr) as progress:
        python = _build_environment(work, progress)
        source = _fetch_source(spec, work, python, progress)
        settings = {
            "build-dir": str(work / "cmake"),
            "build.targets": "llama",
            "build.verbose": "false",
            # Unwanted copies, beside the ones in llama_cpp/lib.
            "wheel.exclude": "bin/**;include/**;lib/**",
            "cmake.define.CMAKE_PROJECT_llama_cpp_INCLUDE": str(CMAKE_PRELUDE),
        }
        settings |= {f"cmake.define.{k}": v for k, v in spec.defines.items()}
        wheels = work / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        command = [str(python), "-m", "pip", "wheel", "--verbose", "--no-deps"]
        command += ["--no-build-isolation", f"--wheel-dir={wheels}", str(source)]
        command += [f"--config-settings={k}={v}" for k, v in settings.items()]
        progress.run("compiling llama.cpp", command, bin_dir=python.parent)
    return next(wheels.glob("*.whl"))


def _build_environment(work: Path, progress: Progress) -> Path:
    """Returns the Python of an environment that holds the locked build tools."""
    python = work / "tools" / "bin" / "python"
    if not (python.parent / "pip").exists():
        venv.create(work / "tools", with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--require-hashes"]
    command += ["--only-binary=:all:", "-r", str(BUILD_LOCK)]
    progress.run("fetching build tools", command, bin_dir=python.parent)
    return python


def _fetch_source(
    spec: WheelSpec, work: Path, python: Path, progress: Progress
) -> Path:
    """Returns the unpacked source, whose archive has the expected sha256."""
    source = work / f"llama_cpp_python-{spec.version}"
    if source.is_dir():  # appears by rename, so it is whole
        return source
    archive = work / f"{source.name}.tar.gz"
    if not archive.exists():
        requirement = work / "source.txt"
        requirement.write_text(
            f"llama-cpp-python=={spec.version} --hash=sha256:{spec.sdist_sha256}\n"
        )
        command = [str(python), "-m", "pip", "download", "--no-deps"]
        command += ["--no-binary=:all:", "--no-build-isolation", "--require-hashes"]
        command += [f"--dest={work}", "-r", str(requirement)]
        progress.run("fetching llama.cpp's source", command, bin_dir=python.parent)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != spec.sdist_sha256:
        archive.unlink()
        raise BuildError(f"{archive.name} is not the source expected. Run this again.")
    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:
        # Its hash is known, and Debian 12's Python has no extraction filters.
        tar.extractall(unpacked)  # noqa: S202
    (unpacked / source.name).rename(source)
    return source


def _check_wheel(wheel: Path) -> None:
    """Refuses a wheel that lacks the library it was built for."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    if not any(name.startswith("llama_cpp/lib/libllama.") for name in names):
        raise BuildError(f"{wheel.name} came out without llama_cpp/lib/libllama")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path``, saying so when it has to wait."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build of llama.cpp", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def main() -> int:
    """Returns the exit code; the wheel's folder, or its key, goes to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", action="store_true", help="print the key only")
    only_key: bool = parser.parse_args().key
    signal.signal(signal.SIGTERM, _terminated)
    spec = host_spec()
    if only_key:
        print(spec.key)
        return 0
    try:
        print(ensure_wheel(spec, wheel_cache(os.environ), build_wheel))
    except (BuildError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
