"""What is asked for is checked before anything takes time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.device import device_profile
from models.disk import disk_failures, require_free
from models.pack_file import load_pack
from models.share import share_interval
from models.store import cache_root
from quantize.adapters import load_adapter
from quantize.assignment import FLOAT, is_quantizable
from quantize.errors import QuantizeError
from quantize.ggml import Floats
from quantize.gguf import Header
from quantize.guard import Guard
from quantize.imatrix import load_importance
from quantize.job import Request
from quantize.placing import require_absent
from quantize.recipe import Recipe, load_recipe
from quantize.source import Kind, Source
from quantize.task import check_lines, load_task


def check_request(request: Request) -> Recipe | None:
    """Returns the recipe that is asked for, once all else is in order, too.

    Raises:
        HeadsideError: Something is not there, cannot be read, or cannot be had.
    """
    require_absent(request.out)
    load_pack(request.pack)
    if request.task is not None:
        _check_task(request.task, request)
    if request.device:
        device_profile(request.device)
    if request.compares_adapter and not request.adapters:
        raise QuantizeError(
            "adapter_absent",
            "There is no adapter to leave beside the base.",
            "Name it with --adapter, or leave out --compare adapter.",
        )
    if request.imatrix is not None:
        load_importance(request.imatrix)
    return None if request.recipe is None else load_recipe(request.recipe)


def check_adapters(request: Request, source: Source) -> None:
    """Raises unless every adapter fits the base.

    Raises:
        QuantizeError: As `load_adapter`.
    """
    if source.kind is Kind.FOLDER:
        for adapter in request.adapters:
            load_adapter(adapter, source.path)


def require_room(request: Request, source: Source) -> None:
    """Raises unless there is room on the disk.

    Raises:
        ModelError: ``no_space`` or ``cache_unwritable``.
    """
    cache, out = cache_root(), request.out.absolute().parent
    for folder in (cache, out):
        with disk_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
    is_ready = source.types == (FLOAT,) and source.kind is Kind.GGUF
    # The base, what it was merged from, what is mended, and the factors, about.
    n_copies = (not is_ready) + 2 * request.is_mended + bool(request.n_words)
    # What they are merged into, the base alone, and both side by side.
    n_copies += 2 * bool(request.adapters) + request.compares_adapter
    require_free(cache, 4 * source.n_weights * n_copies)
    require_free(out, 2 * source.n_weights * (1 + len(request.compared)))


def check_importance(means: Mapping[str, Floats], header: Header, path: Path) -> None:
    """Raises unless an importance matrix is of a model.

    Args:
        means: (columns,) by weight.
        header: Of the model.
        path: What it was read from.

    Raises:
        QuantizeError: ``imatrix_misfit``.
    """
    widths = {t.name: t.shape[0] for t in header.tensors if is_quantizable(t)}
    known = [name for name in means if name in widths]
    wrong = [name for name in known if means[name].size != widths[name]]
    if known and not wrong:
        return
    why = "names none of its weights"
    if wrong:
        width = means[wrong[0]].size
        why = f"has {width} columns for {wrong[0]}, which has {widths[wrong[0]]}"
    raise QuantizeError(
        "imatrix_misfit",
        f"{path} is of another model: it {why}.",
        "Leave out --imatrix; one is gathered then.",
    )


def check_searchable(header: Header) -> None:
    """Raises unless types can be searched for.

    Raises:
        QuantizeError: ``experts``.
    """
    if experts := next((t.name for t in header.tensors if len(t.shape) > 2), None):
        raise QuantizeError(
            "experts",
            f"The model is a mixture of experts ({experts} is a stack of matrices), "
            "for which types are not searched.",
            "Take one of llama.cpp's own rules: --preset q4_k_m.",
        )


def check_recipe(recipe: Recipe, header: Header, path: Path) -> None:
    """Raises unless a recipe is for a model.

    Args:
        recipe: The recipe.
        header: Of the model.
        path: What it was read from.

    Raises:
        QuantizeError: ``recipe_misfit``.
    """
    names = {tensor.name for tensor in header.tensors if is_quantizable(tensor)}
    if apart := sorted(names ^ recipe.types.keys()):
        where = "the model" if apart[0] in names else "the recipe"
        raise QuantizeError(
            "recipe_misfit",
            f"{path} is for another model: only {where} has {apart[0]}.",
            "Name the recipe of this model, or leave it out.",
        )


def _check_task(path: Path, request: Request) -> None:
    """Raises unless the runtime can read the lines, and they are enough."""
    task = load_task(path, request.pack)
    usual = Guard.for_model(0, actions=request.guard_actions).actions
    n = len(task.ids)
    if share_interval(n, n)[0] < usual:
        while share_interval(n, n)[0] < usual:
            n += 1
        raise QuantizeError(
            "task_short",
            f"{path} has {len(task.ids)} items: even if all come out the same, "
            f"that does not show that {usual:.4g} of all do.",
            f"Give {n} or more, or a lower --guard-actions.",
        )
    check_lines(task)
