"""A folder that is there whole or not at all, and only if it passed its guard."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from quantize.errors import QuantizeError
from quantize.limits import Limit


class Judged(Protocol):
    """A report that says which limits were kept."""

    @property
    def limits(self) -> Sequence[Limit]:
        """All of the guard."""


Report = TypeVar("Report", bound=Judged)


def require_absent(out: Path) -> None:
    """Raises where a folder that is to be made is there.

    Raises:
        QuantizeError: ``out_exists``.
    """
    if out.exists() or out.is_symlink():
        raise QuantizeError("out_exists", f"{out} is there.", "Name another with -o.")


def place(
    out: Path,
    write: Callable[[Path], Report],
    *,
    is_kept: Callable[[str], bool],
    refusal: Callable[[Report, Path], QuantizeError],
) -> Report:
    """Writes a folder beside its place, and puts it there if it passed.

    Args:
        out: Its place.
        write: Fills an empty folder, and returns what is to be said of it.
        is_kept: Whether a file, by its name, stays in `OUT.refused` when it did not
            pass: reports do, models do not.
        refusal: Returns what to raise then, given that folder.

    Raises:
        QuantizeError: The refusal; or ``out_exists``, where something else came to be
            at its place meanwhile.
    """
    beside = out.with_name(f"{out.name}.part")
    refused = out.with_name(f"{out.name}.refused")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        report = write(beside)
        if all(limit.is_met for limit in report.limits):
            _put(beside, out)
            return report
        for path in [path for path in beside.iterdir() if not is_kept(path.name)]:
            path.unlink()
        shutil.rmtree(refused, ignore_errors=True)
        beside.replace(refused)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    raise refusal(report, refused)


def _put(beside: Path, out: Path) -> None:
    if not out.exists():  # an empty folder would be replaced, and a full one not
        beside.replace(out)
        return
    names = (out.with_name(f"{out.name}-{n}") for n in itertools.count(2))
    another = next(name for name in names if not name.exists())
    beside.replace(another)
    raise QuantizeError(
        "out_exists", f"{out} came to be meanwhile; the model is in {another}.", ""
    )
