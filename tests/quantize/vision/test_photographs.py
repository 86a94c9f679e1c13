"""Photographs that calibrate and that judge: never of the same thing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.preprocessing import Pixels, Preprocessing
from quantize.vision.photographs import (
    crops,
    divided,
    load_photographs,
    numbers,
    sha256_of_all,
)
from tests.quantize.conftest import refusal

HOW = Preprocessing(height=24, width=32)
SIDE = 96


def scene(seed: int, *, shift: int = 0, brightness: float = 1.0) -> Pixels:
    """A gradient with shapes and grain, of which a part is shown."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, : 2 * SIDE]
    base = np.stack([rows * random.uniform(0, 0.8) for _ in range(3)], axis=2)
    for _ in range(14):
        y, x = random.uniform(0, SIDE), random.uniform(0, 2 * SIDE)
        radius = random.uniform(10, 26)
        base[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = random.uniform(
            0, 230, 3
        )
    base += random.normal(0, 4, base.shape)
    shown = base[:, 20 + shift : 20 + shift + SIDE] * brightness
    return shown.clip(0, 255).astype(np.uint8)


def saved(folder: Path, **pictures: Pixels) -> Path:
    folder.mkdir(exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_what_is_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("No picture.")

    assert refusal(lambda: load_photographs(tmp_path)).code == "pictures_missing"
    missing = tmp_path / "missing"
    error = refusal(lambda: load_photographs(missing))
    assert error.code == "pictures_missing"
    assert str(missing) in error.message


def test_one_photograph_is_too_few(tmp_path: Path) -> None:
    one = load_photographs(saved(tmp_path / "one", a=scene(1)))

    error = refusal(lambda: divided(one, []))

    assert error.code == "pictures_few"
    assert str(tmp_path / "one") in error.message


def test_many_of_one_thing_are_too_few(tmp_path: Path) -> None:
    same = [scene(1), scene(1, shift=3), scene(1, shift=-5, brightness=0.7)]
    folder = saved(tmp_path / "same", a=same[0], b=same[1], c=same[2])

    photographs = load_photographs(folder)

    assert refusal(lambda: divided(photographs, [])).code == "pictures_few"


def test_copies_of_what_shows_nothing_are_one(tmp_path: Path) -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    photographs = load_photographs(saved(tmp_path / "dark", a=black, b=black))

    assert refusal(lambda: divided(photographs, [])).code == "pictures_few"


def test_the_same_file_under_another_name_is_refused(tmp_path: Path) -> None:
    first = saved(tmp_path / "first", a=scene(1), b=scene(2))
    second = saved(tmp_path / "second", c=scene(3))
    shutil.copy(first / "b.png", second / "other.png")
    ours, theirs = load_photographs(first), load_photographs(second)

    error = refusal(lambda: divided(ours, theirs))

    assert error.code == "pictures_same"
    assert str(first / "b.png") in error.message
    assert str(second / "other.png") in error.message
    assert "show the same:" in error.message


def test_the_other_eye_with_other_light_is_refused(tmp_path: Path) -> None:
    left = load_photographs(saved(tmp_path / "left", a=scene(1)))
    right = load_photographs(
        saved(tmp_path / "right", a=scene(1, shift=9, brightness=0.75))
    )

    error = refusal(lambda: divided(left, right))

    assert error.code == "pictures_same"
    assert "nearly the same" in error.message


def test_different_ones_are_taken(tmp_path: Path) -> None:
    first = load_photographs(saved(tmp_path / "a", a=scene(1), b=scene(2)))
    second = load_photographs(saved(tmp_path / "b", a=scene(3), b=scene(4)))

    assert divided(first, second) == (first, second)


def test_halves_have_nothing_in_common(tmp_path: Path) -> None:
    folder = saved(
        tmp_path / "all",
        a1=scene(1),
        a2=scene(1, shift=4),
        b1=scene(2),
        b2=scene(2, brightness=0.8),
        c1=scene(3),
    )

    calibrating, judging = divided(load_photographs(folder), [])

    names = [[one.path.stem for one in half] for half in (calibrating, judging)]
    assert names == [["a1", "a2", "c1"], ["b1", "b2"]]


def test_what_lies_between_two_brings_them_together(tmp_path: Path) -> None:
    # Far apart, a and b look different; c looks like both of them.
    folder = saved(
        tmp_path / "pan",
        a=scene(1, shift=-15),
        b=scene(1, shift=15),
        c=scene(1),
        d=scene(2),
    )
    photographs = load_photographs(folder)
    a, b, c, d = photographs
    assert divided([a], [b]) == ([a], [b])
    for one in (a, b):
        refusal(lambda one=one: divided([one], [c]))  # type: ignore[misc]

    assert divided(photographs, []) == ([a, b, c], [d])


def test_crops_are_those_of_their_seed(tmp_path: Path) -> None:
    photographs = load_photographs(saved(tmp_path / "a", a=scene(1), b=scene(2)))

    first, again = (crops(photographs, HOW, 9, seed=3) for _ in range(2))
    other = crops(photographs, HOW, 9, seed=4)

    assert [one.source for one in first] == [*(["a.png", "b.png"] * 4), "a.png"]
    assert {one.pixels.shape for one in first} == {(24, 32, 3)}
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one.pixels, same.pixels)
    for one, photograph in zip(first, photographs, strict=False):
        assert np.array_equal(one.pixels, HOW.placed(photograph.pixels))
    different = [
        not np.array_equal(one.pixels, another.pixels)
        for one, another in zip(first, other, strict=True)
    ]
    assert different == [False, False, *([True] * 7)]


@pytest.mark.parametrize("size", [(7, 3), (1, 50), (200, 90)])
def test_crops_of_photographs_of_any_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    photographs = load_photographs(saved(tmp_path / "a", a=pixels))

    found = numbers(crops(photographs, HOW, 40, seed=0), HOW)

    assert {one.shape for one in found} == {(1, 3, 24, 32)}


def test_the_hash_of_all_is_of_their_bytes(tmp_path: Path) -> None:
    one = load_photographs(saved(tmp_path / "a", a=scene(1), b=scene(2)))
    renamed = load_photographs(saved(tmp_path / "b", x=scene(1), y=scene(2)))
    other = load_photographs(saved(tmp_path / "c", a=scene(1), b=scene(3)))

    assert sha256_of_all(one) == sha256_of_all(renamed) != sha256_of_all(other)
