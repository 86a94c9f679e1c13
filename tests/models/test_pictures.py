"""Pictures that are taken as they are, and those that are refused with a reason."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ModelError
from models.pictures import load_pixels
from models.preprocessing import Pixels

ORIENTATION = 0x0112


def drawn(height: int = 24, width: int = 40) -> Pixels:
    """A gradient with a bright corner at the upper left."""
    rows, columns = np.mgrid[:height, :width]
    found = np.stack(
        [rows * 255 / height, columns * 255 / width, (rows + columns) % 64], axis=2
    ).astype(np.uint8)
    found[:8, :8] = 250, 240, 230
    return found


def refused(path: Path, code: str) -> ModelError:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError) as caught:
            load_pixels(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


def chunk(name: bytes, data: bytes) -> bytes:
    told = name + data
    return struct.pack(">I", len(data)) + told + struct.pack(">I", zlib.crc32(told))


def png(width: int, height: int, *, depth: int, rows: bytes) -> bytes:
    """A PNG of three colours."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp"])
def test_what_loses_nothing_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(drawn()).save(path, lossless=True)

    assert np.array_equal(load_pixels(path), drawn())


def test_a_jpeg_comes_back_nearly_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(drawn()).save(path, quality=95, subsampling=0)

    found = load_pixels(path)

    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - drawn()).mean() < 4


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2], pixels[2:] = (200, 10, 20), (1, 2, 3)
    Image.fromarray(pixels).quantize(4).save(path)
    with Image.open(path) as stored:
        assert stored.mode == "P"

    assert np.array_equal(load_pixels(path), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_set_upright(tmp_path: Path, orientation: int) -> None:
    turned = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    held = np.ascontiguousarray(turned[orientation](drawn()))
    Image.fromarray(held).save(path, exif=exif)

    assert np.array_equal(load_pixels(path), drawn())


@pytest.mark.parametrize(
    ("mode", "name", "said"),
    [
        ("L", "grey.png", "grey"),
        ("L", "grey.jpg", "grey"),
        ("1", "lines.png", "grey"),
        ("LA", "grey.png", "grey"),
        ("I;16", "deep.png", "16 bits"),
        ("CMYK", "print.jpg", "CMYK"),
        ("RGBA", "glass.png", "transparent"),
        ("RGBA", "glass.webp", "transparent"),
    ],
)
def test_other_kinds_are_refused_by_name(
    tmp_path: Path, mode: str, name: str, said: str
) -> None:
    path = tmp_path / name
    if mode == "I;16":
        Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    else:
        held = Image.fromarray(drawn()).convert(mode)
        if mode == "RGBA":
            held.putalpha(100)
        held.save(path)

    assert said in refused(path, "picture_mode").message


def test_colours_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(4, 4, depth=16, rows=4 * (b"\0" + bytes(range(24)))))

    assert "16 bits" in refused(path, "picture_mode").message


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_one_colour_that_is_transparent_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "hole.png"
    held = Image.fromarray(drawn())
    if mode == "P":
        held.quantize(16).save(path, transparency=3)
    else:
        held.save(path, transparency=(250, 240, 230))

    assert "transparent" in refused(path, "picture_mode").message


def test_a_huge_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(drawn(24, 40)).save(path)

    assert load_pixels(path, most_pixels=24 * 40).shape == (24, 40, 3)
    with pytest.raises(ModelError, match="40 x 24") as caught:
        load_pixels(path, most_pixels=24 * 40 - 1)
    assert caught.value.code == "picture_huge"
    assert str(path) in caught.value.message


@pytest.mark.parametrize("side", [9000, 10_000, 60_000])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, side: int) -> None:
    # More than this function takes; more than Pillow warns of; more than it opens.
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, depth=8, rows=b"\0" * 1000))

    refused(path, "picture_huge")


def test_a_limit_above_pillows_own_stays_without_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(drawn()).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 40 - 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(load_pixels(path), drawn())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_a_truncated_one_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    refused(path, "picture_unreadable")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"The quick brown fox jumps over the lazy dog.\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n",
        bytes(range(256)) * 8,
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    ],
)
def test_what_is_no_such_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.png"
    path.write_bytes(content)

    refused(path, "picture_unreadable")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "not_there.png", "picture_unreadable")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "picture_unreadable")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_bytes_that_were_changed_never_end_in_anothers_error(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(drawn()).save(path, exif=exif)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    n_refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(60):
            held = bytearray(whole)
            for at in random.integers(0, min(len(held), 400), 3):
                held[at] = int(random.integers(256))
            path.write_bytes(held)
            try:
                assert load_pixels(path, most_pixels=10_000).shape[2] == 3
            except ModelError:
                n_refused += 1

    assert n_refused
