"""A small depthwise network with channels of sizes that plain int8 cannot hold.

It learns, in seconds, whether a picture is light or dark in each of its three colours.
Then channels between its layers are multiplied by factors and divided by them again
behind: it computes the same, and a tensor with one scale has no steps left for most of
them.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.preprocessing import Preprocessing
from quantize.vision.photographs import crops, load_photographs

SIDE, N_CLASSES = 64, 8
HOW = Preprocessing(height=SIDE, width=SIDE)
_WIDTHS = (16, 32, 48, 64)
_N_STEPS, _BATCH = 240, 32
_OUTLIERS, _SIZE = 0.1, 400.0
"""Share of channels that are planted, and by what they are multiplied."""
_SEED = 5


class Depthwise(nn.Module):
    """Depthwise and pointwise layers by turns, with ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, _WIDTHS[0], 3, 2, 1), nn.ReLU()]
        for n_in, n_out in itertools.pairwise(_WIDTHS):
            layers += [
                nn.Conv2d(n_in, n_in, 3, 2, 1, groups=n_in),
                nn.ReLU(),
                nn.Conv2d(n_in, n_out, 1),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(_WIDTHS[-1], N_CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Returns (n, classes)."""
        found: torch.Tensor = self.head(self.layers(image).mean(dim=(2, 3)))
        return found


def make(photographs: Path, out: Path) -> None:
    """Teaches the network, plants its outliers, and writes it as ONNX."""
    torch.manual_seed(_SEED)
    pictures = crops(load_photographs(photographs), HOW, 256, seed=_SEED)
    numbers = torch.from_numpy(
        np.concatenate([HOW.numbers(one.pixels) for one in pictures])
    )
    network = Depthwise()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    chance = torch.Generator().manual_seed(_SEED)
    for _ in range(_N_STEPS):
        some = torch.randint(len(numbers), (_BATCH,), generator=chance)
        labels = _labels(numbers[some])
        loss = nn.functional.cross_entropy(network(numbers[some]), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    network.eval()
    plant(network)
    torch.onnx.export(
        network,
        (numbers[:1],),
        str(out),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def plant(network: Any) -> None:
    """Multiplies some channels, and divides them again where they are read."""
    chance = np.random.default_rng(_SEED)
    layers = [one for one in network.layers if isinstance(one, nn.Conv2d)]
    for maker, reader in itertools.pairwise(layers):
        n = maker.out_channels
        factors = torch.ones(n)
        planted = chance.choice(n, max(1, int(_OUTLIERS * n)), replace=False)
        factors[planted] = _SIZE
        with torch.no_grad():
            maker.weight *= factors[:, None, None, None]
            maker.bias.copy_(maker.bias * factors)  # type: ignore[union-attr,operator]
            if reader.groups == 1:
                reader.weight /= factors[None, :, None, None]
            else:
                reader.weight /= factors[:, None, None, None]


def _labels(images: torch.Tensor) -> torch.Tensor:
    """Returns which of eight colours a picture is: three bits, lighter or darker."""
    means = images.mean(dim=(2, 3))
    bits = (means > means.new_tensor([0.42, 0.40, 0.38])).long()
    return bits @ torch.tensor([1, 2, 4])


def main() -> None:
    """Writes the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    make(given.photographs, given.out)


if __name__ == "__main__":
    main()
