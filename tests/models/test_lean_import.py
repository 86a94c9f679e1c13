"""A part of a library is imported alone, and others find the library whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.lean_import import modules_of

PACKAGE = {
    "__init__.py": "import pkg.heavy\nLOADED = True\n",
    "heavy.py": "",
    "light.py": "NAME = __name__\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the name of a package that loads more than is asked for."""
    folder = tmp_path / "pkg"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
        monkeypatch.delitem(sys.modules, name)
    return "pkg"


def test_a_module_comes_without_its_package(package: str) -> None:
    with modules_of(package):
        from pkg import light  # type: ignore[import-not-found]

    assert light.NAME == "pkg.light"
    assert "pkg.heavy" not in sys.modules
    assert package not in sys.modules


def test_whoever_imports_the_package_later_finds_it_whole(package: str) -> None:
    with modules_of(package):
        from pkg import light
    import pkg
    import pkg.light  # type: ignore[import-not-found]

    assert pkg.LOADED
    assert sys.modules["pkg.light"] is light


def test_a_package_that_is_there_stays_as_it_is(package: str) -> None:
    import pkg

    with modules_of(package):
        assert sys.modules[package] is pkg
    assert sys.modules[package] is pkg


def test_what_is_not_installed_is_missing() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="no_such_library"),
        modules_of("no_such_library"),
    ):
        import no_such_library.part  # type: ignore[import-not-found] # noqa: F401


def test_the_engines_drag_nothing_in() -> None:
    """In a fresh interpreter, since the tests import all sorts of things."""
    code = (
        "import sys, edge.backends.llama, edge.backends.whisper;"
        "import models.template_syntax;"
        "print([n for n in ('av', 'hassil', 'jinja2', 'sqlite3', 'tqdm', 'yaml')"
        " if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
