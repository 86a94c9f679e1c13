"""Imports of a library's part without what it drags in and nothing here needs.

Much of a start is importing: a parser of sentences brings a parser of YAML, a binding
of a C library brings template engines and a database. Inside such a block only the part
that is asked for is imported; once it ends, others find the library as it is. While it
runs, no other thread may import the same library.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def modules_of(package: str) -> Iterator[None]:
    """Has imports in the block find the modules of a package, its own code not run.

    A package that was imported before stays what it is, and one that is not installed
    is missing as ever.
    """
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations)
    bare.__spec__ = spec
    sys.modules[package] = bare
    try:
        yield
    finally:
        del sys.modules[package]
