"""What flows into each product of an encoder while it reads sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantize.child import Tell
from quantize.encoder.building import Floats
from quantize.encoder.pieces import Pieces
from quantize.encoder.rewriting import Calibration, Seen, copied, products
from quantize.encoder.rounding import Doubles
from quantize.encoder.vectors import Reader, by_length
from quantize.onnx_session import open_session, run


def calibrate(
    model: onnx.ModelProto,
    pieces: Pieces,
    texts: Sequence[str],
    *,
    threads: int,
    tell: Tell,
) -> Calibration:
    """Returns the largest magnitudes that flow into the products.

    Args:
        model: The float graph.
        pieces: What it reads.
        texts: The sentences that calibrate.
        threads: How many work.
        tell: Told how many groups of sentences are done.
    """
    reader = Reader(model, pieces, threads=threads)
    groups = by_length(texts, pieces)
    feeds = [reader.feeds([texts[n] for n in group]) for group in groups]
    inputs = {node.name: node.input[0] for node in products(model)}
    names = sorted(set(inputs.values()))
    watched = copied(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = open_session(
        watched.SerializeToString(deterministic=True), threads=threads
    )
    most: dict[str, Floats] = {}
    grams: dict[str, Doubles] = {}
    for n, fed in enumerate(feeds):
        for name, state in zip(names, run(session, fed), strict=True):  # (b, t, in)
            found = np.abs(state).max(axis=(0, 1))
            most[name] = np.maximum(most.get(name, found), found)
            rows = state.reshape(-1, state.shape[-1]).astype(np.float64)
            grams[name] = grams.get(name, 0.0) + rows.T @ rows
        tell(n + 1, len(feeds))
    seen = {
        product: Seen(most=most[name], gram=grams[name])
        for product, name in inputs.items()
    }
    return Calibration(seen=seen, feeds=feeds)
