"""What is done to a picture: written down and read again, and the numbers it makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelError
from models.preprocessing import (
    Pixels,
    Preprocessing,
    load_preprocessing,
    save_preprocessing,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height: int, width: int) -> Pixels:
    random = np.random.default_rng(3)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_hand(pixels: Pixels, how: Preprocessing, row: int, column: int) -> list[float]:
    """The numbers of one pixel, in the order that the model takes its colours."""
    red, green, blue = (int(one) for one in pixels[row, column])
    ordered = (red, green, blue) if how.order == "rgb" else (blue, green, red)
    return [
        (value * how.scale - mean) / std
        for value, mean, std in zip(ordered, how.mean, how.std, strict=True)
    ]


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing(height=224, width=224),
        Preprocessing(
            height=1,
            width=4096,
            resize="pad",
            fill=(0, 127, 255),
            keep=0.1 + 0.2,
            filter="nearest",
            order="bgr",
            scale=1e-7,
            mean=(103.939, -116.779, 1e20),
            std=(1 / 3, 5e-9, 57.375),
            layout="nhwc",
        ),
        Preprocessing(height=7, width=9, resize="stretch", filter="bilinear"),
    ],
)
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, how: Preprocessing) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"

    save_preprocessing(first, how)
    found = load_preprocessing(first)
    save_preprocessing(second, found)

    assert found == how
    assert first.read_bytes() == second.read_bytes()


def test_what_is_not_said_is_usual(tmp_path: Path) -> None:
    file = tmp_path / "preprocess.toml"
    file.write_text("size = [192, 256]\n")

    assert load_preprocessing(file) == Preprocessing(height=192, width=256)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_numbers_are_those_computed_by_hand(order: str, layout: str) -> None:
    how = Preprocessing(
        height=5, width=6, order=order, layout=layout, mean=MEAN, std=STD
    )
    pixels = noise(5, 6)

    found = how.prepared(pixels)

    assert found.shape == ((1, 3, 5, 6) if layout == "nchw" else (1, 5, 6, 3))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    for row, column in ((0, 0), (4, 5), (1, 3)):
        at = (
            found[0, :, row, column] if layout == "nchw" else (found[0, row, column, :])
        )
        assert at.tolist() == pytest.approx(
            by_hand(pixels, how, row, column), abs=1e-6
        ), (row, column)


def test_stretch_takes_all_of_the_picture() -> None:
    how = Preprocessing(height=2, width=2, resize="stretch", filter="nearest")
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:2, :4], pixels[2:, 4:] = (10, 20, 30), (40, 50, 60)

    found = how.placed(pixels)

    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[1, 1].tolist() == [40, 50, 60]
    assert not found[0, 1].any()
    assert not found[1, 0].any()


def test_pad_leaves_black_beside_it() -> None:
    how = Preprocessing(height=8, width=8, resize="pad", filter="nearest")
    pixels = noise(4, 8)

    found = how.placed(pixels)

    assert np.array_equal(found[:4], pixels)
    assert not found[4:].any()


def test_pad_fills_with_what_is_asked_for() -> None:
    how = Preprocessing(height=8, width=8, resize="pad", fill=(1, 2, 3))

    found = how.placed(np.full((4, 8, 3), 200, np.uint8))

    assert (found[:4] == 200).all()
    assert (found[4:] == (1, 2, 3)).all()


def test_pad_leaves_a_line_of_what_is_very_long() -> None:
    how = Preprocessing(height=16, width=16, resize="pad")

    found = how.placed(np.full((1, 4000, 3), 200, np.uint8))

    assert (found[0] == 200).all()
    assert not found[1:].any()


@pytest.mark.parametrize(("keep", "left"), [(1.0, 4), (0.5, 6)])
def test_crop_keeps_the_middle(keep: float, left: int) -> None:
    side = round(8 * keep)
    how = Preprocessing(height=side, width=side, keep=keep, filter="nearest")
    pixels = noise(8, 16)

    found = how.placed(pixels)

    top = (8 - side) // 2
    assert np.array_equal(found, pixels[top : top + side, left : left + side])


@pytest.mark.parametrize(
    ("height", "width", "high", "wide"),
    [(3, 3, 7, 7), (108, 192, 22, 22), (49, 1, 49, 3)],
)
def test_crop_takes_pictures_of_any_size(
    height: int, width: int, high: int, wide: int
) -> None:
    how = Preprocessing(height=high, width=wide)

    assert how.placed(np.zeros((height, width, 3), np.uint8)).shape == (high, wide, 3)


def test_crop_asks_for_nothing_outside_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes = []

    class Fake:
        size = (0, 0)

        def resize(
            self, _size: tuple[int, int], _how: int, box: tuple[float, ...]
        ) -> Pixels:
            boxes.append((self.size, box))
            return np.zeros((1, 1, 3), np.uint8)

    fake = Fake()
    monkeypatch.setattr("models.preprocessing.Image.fromarray", lambda _pixels: fake)
    random = np.random.default_rng(0)
    for _ in range(1000):
        width, height, wide, high = map(int, random.integers(1, 5000, 4))
        fake.size = width, height
        Preprocessing(height=high, width=wide).placed(np.zeros((1, 1, 3), np.uint8))

    assert all(
        0 <= left < right <= width and 0 <= top < bottom <= height
        for (width, height), (left, top, right, bottom) in boxes
    )


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("", "size"),
        ("size = 224", "size"),
        ("size = [224]", "size"),
        ("size = [224, 224, 3]", "size"),
        ("size = [0, 224]", "size"),
        ("size = [224, -1]", "size"),
        ("size = [224, 5000]", "size"),
        ("size = [224.0, 224]", "size"),
        ('size = ["224", 224]', "size"),
        ("size = [true, 224]", "size"),
        ("size = [8, 8]\nformat = 2", "format"),
        ('size = [8, 8]\nformat = "1"', "format"),
        ("size = [8, 8]\nformat = true", "format"),
        ('size = [8, 8]\nresize = "squeeze"', "resize"),
        ("size = [8, 8]\nresize = 1", "resize"),
        ('size = [8, 8]\nfilter = "lanczos"', "filter"),
        ('size = [8, 8]\norder = "RGB"', "order"),
        ('size = [8, 8]\nlayout = ""', "layout"),
        ("size = [8, 8]\nkeep = 0", "keep"),
        ("size = [8, 8]\nkeep = 1.01", "keep"),
        ("size = [8, 8]\nkeep = nan", "keep"),
        ("size = [8, 8]\nkeep = true", "keep"),
        ('size = [8, 8]\nkeep = "all"', "keep"),
        ("size = [8, 8]\nfill = 0", "fill"),
        ("size = [8, 8]\nfill = [0, 0, 256]", "fill"),
        ("size = [8, 8]\nfill = [-1, 0, 0]", "fill"),
        ("size = [8, 8]\nfill = [0.5, 0, 0]", "fill"),
        ("size = [8, 8]\nscale = 0", "scale"),
        ("size = [8, 8]\nscale = -1.0", "scale"),
        ("size = [8, 8]\nscale = nan", "scale"),
        ("size = [8, 8]\nscale = inf", "scale"),
        ("size = [8, 8]\nscale = 1e-60", "scale"),
        (f"size = [8, 8]\nscale = 1{'0' * 400}", "scale"),
        ("size = [8, 8]\nmean = 0.5", "mean"),
        ("size = [8, 8]\nmean = [0.5]", "mean"),
        ('size = [8, 8]\nmean = [0.5, 0.5, "0.5"]', "mean"),
        ("size = [8, 8]\nmean = [0.5, 0.5, nan]", "mean"),
        ("size = [8, 8]\nmean = [true, 0.5, 0.5]", "mean"),
        ("size = [8, 8]\nstd = [1, 1, 0]", "std"),
        ("size = [8, 8]\nstd = [1, 1, inf]", "std"),
        ("size = [8, 8]\nstd = [1, 1, 1e-60]", "std"),
        ("size = [8, 8]\nmeans = [0, 0, 0]", "means"),
    ],
)
def test_a_wrong_value_is_told_with_its_file_and_key(
    tmp_path: Path, lines: str, key: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(lines + "\n")

    with pytest.raises(ModelError) as caught:
        load_preprocessing(file)

    assert caught.value.code == "preprocess_invalid"
    assert str(file) in caught.value.message
    assert key in caught.value.message.removeprefix(str(file))


@pytest.mark.parametrize(
    "content",
    [
        b"size = [",
        b"\xff\xfe\x00",
        b"size = [8, 8]\nscale = " + b"9" * 5000,
        b"size = " + b"[" * 100_000,
    ],
)
def test_what_is_no_toml_is_told_with_its_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "wrong.toml"
    file.write_bytes(content)

    with pytest.raises(ModelError, match=r"wrong\.toml") as caught:
        load_preprocessing(file)

    assert caught.value.code == "preprocess_invalid"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not_there\.toml") as caught:
        load_preprocessing(tmp_path / "not_there.toml")

    assert caught.value.code == "preprocess_invalid"


def test_what_was_there_stays_where_the_new_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "preprocess.toml"
    save_preprocessing(file, Preprocessing(height=8, width=8))
    before = file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.disk.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_preprocessing(file, Preprocessing(height=9, width=9))

    assert file.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
