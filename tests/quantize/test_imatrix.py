"""Importance matrices: gathered right, written whole, read with distrust."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.store import Store
from quantize.errors import QuantizeError
from quantize.gguf import load_header
from quantize.gguf_file import write_gguf
from quantize.imatrix import Importance, gather, load_importance
from quantize.kept import Kept
from quantize.llama import Llama, shared_beginnings

MODEL = "smollm2-135m-instruct-q4_1"
RNG = np.random.default_rng(5)


def some() -> Importance:
    found = Importance(n_chunks=3, chunk_tokens=64, datasets=("a", "b"))
    for name in ("blk.1.ffn_down.weight", "blk.0.attn_q.weight"):
        found.hear(name, RNG.normal(size=(64, 96)).astype(np.float32))
    return found


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    made = some()
    made.save(tmp_path / "imatrix.gguf")

    found = load_importance(tmp_path / "imatrix.gguf")

    assert found.counts == made.counts
    assert found.datasets == made.datasets
    assert (found.n_chunks, found.chunk_tokens) == (3, 64)
    for name, sums in made.sums.items():
        assert found.sums[name] == pytest.approx(sums, rel=1e-6)


def test_a_file_is_as_llama_cpp_lays_it_out(tmp_path: Path) -> None:
    some().save(tmp_path / "imatrix.gguf")

    header = load_header(tmp_path / "imatrix.gguf")

    assert header.text("general.type") == "imatrix"
    assert header.number("imatrix.chunk_count") == 3
    assert header.metadata["imatrix.datasets"] == ("a", "b")
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    assert list(shapes) == sorted(shapes, key=lambda name: name.rsplit(".", 1)[0])
    assert shapes["blk.0.attn_q.weight.in_sum2"] == (96, 1)
    assert shapes["blk.0.attn_q.weight.counts"] == (1, 1)


def test_means_are_of_all_rows() -> None:
    found = Importance()
    values = RNG.normal(size=(10, 4)).astype(np.float32)
    found.hear("w", values[:3])
    found.hear("w", values[3:])

    exact = np.square(values.astype(np.float64)).mean(axis=0)
    assert found.means()["w"] == pytest.approx(exact, rel=1e-6)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(QuantizeError) as failed:
        Importance().hear("blk.3.w", np.array([[1, np.nan]], np.float32))

    assert failed.value.code == "model_not_finite"
    assert "blk.3.w" in failed.value.message


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "no sums"),
        ({"w.in_sum2": np.ones((1, 4), np.float32)}, "no single count"),
        (
            {
                "w.in_sum2": -np.ones((1, 4), np.float32),
                "w.counts": np.ones((1, 1), np.float32),
            },
            "no sums of squares",
        ),
        (
            {
                "w.in_sum2": np.full((1, 4), np.nan, np.float32),
                "w.counts": np.ones((1, 1), np.float32),
            },
            "no sums of squares",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(
    tensors: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    write_gguf(tmp_path / "bad.gguf", {"general.type": "imatrix"}, tensors)

    with pytest.raises(QuantizeError) as failed:
        load_importance(tmp_path / "bad.gguf")

    assert failed.value.code == "imatrix_broken"
    assert said in failed.value.message


def test_what_was_gathered_is_kept_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path))
    made = some()
    Kept("x").keep(made)

    found = Kept("x").importance(made.datasets)

    assert found.n_chunks == made.n_chunks
    assert found.counts == made.counts
    for name, sums in made.sums.items():
        assert (found.sums[name] == sums).all()
    assert Kept("y").importance(()).n_chunks == 0


def test_what_was_cut_off_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSIDE_CACHE", str(tmp_path))
    kept = Kept("x")
    kept.keep(some())
    whole = kept.path("gathered.npz").read_bytes()
    kept.path("gathered.npz").write_bytes(whole[: len(whole) // 2])

    assert kept.importance(()) == Importance()


@pytest.mark.models
def test_a_real_model_is_heard_as_it_is(tmp_path: Path) -> None:
    (path,) = Store.default().path(MODEL).rglob("*.gguf")
    heard: dict[str, list[np.ndarray]] = {}

    def hear(name: str, rows: np.ndarray, _heard: int) -> None:
        heard.setdefault(name, []).append(rows.copy())

    with Llama(path, n_tokens=32, threads=1) as model:
        chunks = [model.tokens("The lantern is lit."), model.tokens("A quiet lake, ")]
        for chunk in chunks:
            model.listen(chunk, hear)
        found = Importance()
        gather(model, chunks, found, lambda _: None)

    assert found.n_chunks == 2
    assert "token_embd.weight" in found.sums  # the head is the embedding again
    assert sum(name.endswith("ffn_down.weight") for name in found.sums) == 30
    for name, rows in heard.items():
        together = np.concatenate(rows).astype(np.float64)
        exact = np.einsum("rc,rc->c", together, together)
        assert found.sums[name] == pytest.approx(exact, rel=1e-5)
        assert found.counts[name] == len(together)


def test_a_beginning_that_texts_share_is_what_they_have_in_common() -> None:
    chunks = [[1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 5], [9]]

    assert shared_beginnings(chunks) == [0, 2, 3, 0]
    assert shared_beginnings([]) == []


@pytest.mark.models
def test_what_texts_begin_with_counts_once_and_is_known_to_the_rest() -> None:
    (path,) = Store.default().path(MODEL).rglob("*.gguf")
    with Llama(path, n_tokens=64, threads=1) as model:
        first = model.tokens("The old lighthouse turns every night. Light the lamp.")
        second = [*first[:8], *model.tokens(" Walk to the sea gate and wait.")]
        name = "blk.29.ffn_down.weight"
        alone = Importance()
        gather(model, [second], alone, lambda _: None)
        rows: list[np.ndarray] = []
        model.listen(
            second, lambda of, x, _: rows.append(x.copy()) if of == name else None
        )
        both = Importance()
        gather(model, [first, second], both, lambda _: None)
        # One that was killed after the first text goes on with another model.
        rest = Importance()
        gather(model, [first], rest, lambda _: None)
    with Llama(path, n_tokens=64, threads=1) as model:
        gather(model, [first, second], rest, lambda _: None)

    n_shared = shared_beginnings([first, second])[1]
    assert n_shared >= 8
    assert both.counts[name] == len(first) + len(second) - n_shared
    assert alone.counts[name] == len(second)
    own = np.concatenate(rows).astype(np.float64)[n_shared:]
    with_first = Importance()
    with Llama(path, n_tokens=64, threads=1) as model:
        gather(model, [first], with_first, lambda _: None)
    added = both.sums[name] - with_first.sums[name]
    assert added == pytest.approx((own**2).sum(axis=0), rel=1e-3, abs=1e-3)
    for of, sums in both.sums.items():
        assert np.array_equal(rest.sums[of], sums), of
