"""What lies beside an encoder is read as it was written, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.encoder_file import (
    ENCODER_FILE,
    EncoderFile,
    load_encoder_file,
    save_encoder_file,
)
from models.errors import ModelError

ENCODER = EncoderFile(width=384, pooling="mean", max_pieces=256, lower_case=True)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert load_encoder_file(tmp_path) is None

    save_encoder_file(tmp_path, ENCODER)

    assert load_encoder_file(tmp_path) == ENCODER


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format is 2"),
        ({"pooling": "max"}, "pooling"),
        ({"max_pieces": 0}, "max_pieces"),
        ({"width": "384"}, "width"),
        ({"lower_case": 1}, "lower_case"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    save_encoder_file(tmp_path, ENCODER)
    path = tmp_path / ENCODER_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(ModelError) as caught:
        load_encoder_file(tmp_path)

    assert caught.value.code == "encoder_file"
    assert says in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ENCODER_FILE).write_text(text)

    with pytest.raises(ModelError) as caught:
        load_encoder_file(tmp_path)

    assert caught.value.code == "encoder_file"
