"""Photographs that are drawn, and a small network that knows them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

N_CLASSES, SIDE = 4, 32
HOW = f"size = [{SIDE}, {SIDE}]\n"


def draw(folder: Path, n: int, *, seed: int) -> Path:
    """Writes photographs of soft blobs; no two show the same."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(seed)
    for at in range(n):
        coarse = chance.uniform(0, 255, (5, 6, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC)
        picture.save(folder / f"photo_{seed}_{at}.png")
    return folder


class Small(nn.Module):
    """A depthwise network with ReLU6, and batch normalisation as it was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.head = nn.Linear(16, N_CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.layers(image).mean(dim=(2, 3)))
        return found


def make() -> nn.Module:
    """Returns the network without what it learned."""
    return Small()


def taught(photographs: Path) -> nn.Module:
    """Returns a network that saw photographs."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = Small()
    pictures = np.stack(
        [
            np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE)))
            for path in sorted(photographs.iterdir())
        ]
    )
    numbers = torch.from_numpy(pictures.transpose(0, 3, 1, 2) / np.float32(255)).float()
    bits = (numbers.mean(dim=(2, 3))[:, :2] > 0.5).long()
    labels = bits @ torch.tensor([1, 2])
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(80):
        loss = nn.functional.cross_entropy(network(numbers), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def export(network: nn.Module, path: Path) -> Path:
    """Writes a network as ONNX."""
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(str(path))
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What calibrates."""
    return draw(tmp_path_factory.mktemp("drawn") / "calibration", 24, seed=1)


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What judges."""
    return draw(tmp_path_factory.mktemp("drawn") / "others", 12, seed=2)


@pytest.fixture(scope="session")
def network(photographs: Path) -> nn.Module:
    """The small network, taught."""
    return taught(photographs)


@pytest.fixture(scope="session")
def net(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an ONNX file."""
    return export(network, tmp_path_factory.mktemp("net") / "net.onnx")


@pytest.fixture
def how(tmp_path: Path) -> Path:
    """How its pictures are prepared."""
    path = tmp_path / "how.toml"
    path.write_text(HOW)
    return path
