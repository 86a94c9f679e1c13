"""What a report tells of nodes and sentences, and what would do after a refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import onnx

from models.disk import size_text
from quantize.artifact import (
    PAGE,
    ArtifactReport,
    LostTooMuchError,
    NodeFacts,
    Sample,
)
from quantize.encoder.building import EMBEDDING, Floats
from quantize.encoder.rewriting import EMBEDDED, products
from quantize.encoder.search import Sensitivity, Trial, in_order
from quantize.onnx_file import weights

_N_SAMPLES = 40
_SAVED = 3
"""Bytes of a weight that int8 saves."""


def node_facts(
    model: onnx.ModelProto, trial: Trial, found: Sequence[Sensitivity]
) -> list[NodeFacts]:
    """Returns what became of each product, and of the words.

    Args:
        model: The float graph.
        trial: What stayed in float.
        found: What products lose alone.
    """
    sizes = _sizes(model)
    n_all = sum(sizes.values()) - sizes[EMBEDDED]
    losses = {one.name: one.loss for one in found}
    words = NodeFacts(
        name=EMBEDDED,
        op="Gather",
        type="float" if EMBEDDED in trial.left else "int8",
        share=0.0,
        why="each word has a scale of its own",
    )
    return [
        words,
        *(
            NodeFacts(
                name=node.name,
                op=node.op_type,
                type="float" if node.name in trial.left else "int8",
                share=sizes[node.name] / n_all,
                loss=losses.get(node.name),
                why="the guard was not met with it" if node.name in trial.left else "",
            )
            for node in products(model)
        ),
    ]


def samples(
    texts: Sequence[str],
    examples: Sequence[str],
    before: tuple[Floats, Floats],
    after: tuple[Floats, Floats],
) -> list[Sample]:
    """Returns the nearest examples of sentences, those that changed first.

    Args:
        texts: The sentences.
        examples: What is near to them or not.
        before: Vectors of both, of the source.
        after: The same, of what was made.
    """
    was, is_ = before[0] @ before[1].T, after[0] @ after[1].T  # (n, m)
    found = []
    for n, text in enumerate(texts):
        old, new = int(was[n].argmax()), int(is_[n].argmax())
        sample = Sample(
            input=text,
            reference=f"{examples[old]} ({was[n, old]:.3f})",
            quantized=f"{examples[new]} ({is_[n, new]:.3f}; the source: "
            f"{was[n, new]:.3f})"
            if old != new
            else f"{examples[old]} ({was[n, old]:.3f})",
        )
        found.append((old == new, n, sample))
    return [one for _, _, one in sorted(found, key=lambda row: row[:2])[:_N_SAMPLES]]


def refusal(
    report: ArtifactReport,
    refused: Path,
    found: Sequence[Sensitivity],
    model: onnx.ModelProto,
    trial: Trial,
) -> LostTooMuchError:
    """Returns the error of a model that lost too much, with what would do."""
    order = in_order(found)
    n = len(trial.left)
    more = order[n : n + max(2, n)]
    sizes = _sizes(model)
    hint = f"Lower --guard-cosine or --guard-nearest. {refused / PAGE} tells more."
    if more:
        n_bytes = trial.n_bytes + _SAVED * sum(sizes[name] for name in more)
        hint = (
            f"Leave {', '.join(more)} in float, too, which makes about "
            f"{size_text(n_bytes)}: --float {n + len(more)}. Or l{hint[1:]}"
        )
    return LostTooMuchError(report, hint)


def _sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Returns how many weights nodes have."""
    stored = weights(model)
    found = {one.name: math.prod(stored[one.input[1]].dims) for one in products(model)}
    return {**found, EMBEDDED: math.prod(stored[EMBEDDING].dims)}
