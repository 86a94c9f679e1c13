"""Words are left out of a model, and what stays is read and written as before."""

from __future__ import annotations

import json
import random
import re
import struct
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from models.errors import ModelError
from quantize.ggml import Floats, named, number_of, stored_as
from quantize.gguf import GgufError, Header, load_header
from quantize.llama import Llama
from quantize.texts import python_topics
from quantize.words import kept_words
from quantize.words_file import without_words
from tests.quantize.conftest import HEADS, INNER, LAYERS, WIDTH, refusal
from tests.quantize.test_gguf import entry, tensor, text

U8, I32, U32, F32, BOOL, STRING, ARRAY, U64, F64 = 0, 5, 4, 6, 7, 8, 9, 10, 12
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CODES = {U8: "B", I32: "i", U32: "I", F32: "f", BOOL: "?", U64: "Q", F64: "d"}
KEY = "tokenizer.ggml."
SMOLLM = "smollm2-135m-instruct-q4_1"
BEGIN, END = "<|im_start|>", "<|im_end|>"
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
NASTY = (
    "Ünïcödé 漢字かな交じり文 🤷🏽\u200d♀️👩\u200d👩\u200d👧\u200d👦 "
    "\u202e\u05e9\u05dc\u202c e\u0301\u0327 \U000e0041 \ufeff\uffff \x01\x7f\x1b[0m"
    "\ttab  two   three\r\n\n ½℥ﷺ zqxj_ZQXJ 1234567890 <0x0A>"
)


def scalar(key: str, kind: int, value: float) -> bytes:
    return text(key) + struct.pack(f"<I{CODES[kind]}", kind, value)


def numbers(key: str, kind: int, values: Sequence[float]) -> bytes:
    """Returns a key and a list of numbers as the file has them."""
    head = struct.pack("<IIQ", ARRAY, kind, len(values))
    return text(key) + head + struct.pack(f"<{len(values)}{CODES[kind]}", *values)


def spelled(key: str, words: Sequence[bytes]) -> bytes:
    """Returns a key and a list of what need not be characters."""
    head = struct.pack("<IIQ", ARRAY, STRING, len(words))
    return text(key) + head + b"".join(struct.pack("<Q", len(w)) + w for w in words)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A vocabulary, and what else a file says of it."""

    words: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str] = ()
    model: str = "gpt2"
    pre: str = "gpt-2"
    scores: Sequence[float] | None = None
    named: Mapping[str, int] = field(default_factory=dict)
    """Words that the metadata names."""

    def entries(self) -> list[bytes]:
        found = [
            entry(f"{KEY}model", self.model),
            entry(f"{KEY}pre", self.pre),
            entry(f"{KEY}tokens", self.words),
            numbers(f"{KEY}token_type", I32, self.kinds),
            scalar(f"{KEY}add_space_prefix", BOOL, False),
            scalar(f"{KEY}add_bos_token", BOOL, False),
        ]
        if self.merges:
            found.append(entry(f"{KEY}merges", self.merges))
        if self.scores is not None:
            found.append(numbers(f"{KEY}scores", F32, self.scores))
        return found + [entry(key, number) for key, number in self.named.items()]

    def header(self) -> Header:
        """Returns the header of a file with no tensors."""
        metadata: dict[str, Any] = {
            f"{KEY}model": self.model,
            f"{KEY}tokens": tuple(self.words),
            f"{KEY}token_type": tuple(self.kinds),
            **self.named,
        }
        if self.merges:
            metadata[f"{KEY}merges"] = tuple(self.merges)
        if self.scores is not None:
            metadata[f"{KEY}scores"] = tuple(self.scores)
        return Header(
            version=3, metadata=metadata, tensors=(), data_offset=0, file_bytes=0
        )


def save(
    path: Path,
    entries: Sequence[bytes],
    tensors: Mapping[str, Floats],
    types: Mapping[str, str] | None = None,
    version: int = 3,
    alignment: int = 32,
) -> Path:
    """Writes a file, its tensors float32 where nothing else is asked for."""
    infos, data = [], b""
    for name, values in tensors.items():
        type_ = named((types or {}).get(name, "f32"))
        rows = values if values.ndim > 1 else values[None]
        infos.append(tensor(name, values.shape[::-1], number_of(type_), len(data)))
        data += stored_as(rows, type_).tobytes()
        data += bytes(-len(data) % alignment)
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(entries))
    head += b"".join(entries) + b"".join(infos)
    path.write_bytes(head + bytes(-len(head) % alignment) + data)
    return path


def llama_entries(n_words: int) -> list[bytes]:
    return [
        entry("general.architecture", "llama"),
        entry("llama.block_count", LAYERS),
        entry("llama.context_length", 512),
        entry("llama.embedding_length", WIDTH),
        entry("llama.feed_forward_length", INNER),
        entry("llama.attention.head_count", HEADS),
        entry("llama.attention.head_count_kv", HEADS),
        scalar("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", WIDTH // HEADS),
        entry("llama.vocab_size", n_words),
    ]


def llama_tensors(n_words: int, *, has_head: bool = False) -> dict[str, Floats]:
    chance = np.random.default_rng(3)

    def matrix(n_out: int, n_in: int) -> Floats:
        return chance.standard_normal((n_out, n_in), np.float32) / np.float32(8)

    found = {"token_embd.weight": matrix(n_words, WIDTH)}
    for at in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found[f"blk.{at}.{part}.weight"] = matrix(WIDTH, WIDTH)
        found[f"blk.{at}.ffn_gate.weight"] = matrix(INNER, WIDTH)
        found[f"blk.{at}.ffn_up.weight"] = matrix(INNER, WIDTH)
        found[f"blk.{at}.ffn_down.weight"] = matrix(WIDTH, INNER)
        for part in ("attn_norm", "ffn_norm"):
            found[f"blk.{at}.{part}.weight"] = np.ones(WIDTH, np.float32)
    found["output_norm.weight"] = np.ones(WIDTH, np.float32)
    if has_head:
        found["output.weight"] = matrix(n_words, WIDTH)
    return found


SENTENCES = [
    line.strip()
    for topic in python_topics()
    for line in topic.text.split("\n\n")
    if 40 < len(line) < 300
][:400]


@pytest.fixture(scope="module")
def once() -> Made:
    """Byte-level BPE as it is trained: one merge for each word."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=900,
        special_tokens=[BEGIN, END],
        initial_alphabet=LETTERS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    made = json.loads(tokenizer.to_str())["model"]
    words = sorted(made["vocab"], key=made["vocab"].__getitem__)
    # What is no text stands at the end, where it has to move.
    words = [*words[2:], *words[:2], "<|tool|>", "<|spare|>"]
    n = len(words)
    return Made(
        words=words,
        kinds=[*[NORMAL] * (n - 4), CONTROL, CONTROL, USER, UNUSED],
        merges=[
            merge if isinstance(merge, str) else " ".join(merge)
            for merge in made["merges"]
        ],
        named={f"{KEY}bos_token_id": n - 4, f"{KEY}eos_token_id": n - 3},
    )


@pytest.fixture(scope="module")
def often(once: Made) -> Made:
    """As vocabularies without merges are converted: all that make a word, by rank."""
    words = set(once.words)
    merges = [
        f"{word[:at]} {word[at:]}"
        for word in once.words[:-4]
        for at in range(1, len(word))
        if {word[:at], word[at:]} <= words
    ]
    return replace(once, merges=merges, pre="llama-bpe")


@pytest.fixture(scope="module")
def pieces(once: Made) -> Made:
    """SentencePiece: scores, letters last, bytes for all else."""
    texts = [word.replace("Ġ", "▁") for word in once.words[256:-4]]
    texts = [word for word in texts if word.replace("▁", "").isascii()]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    # "é" is a letter of two bytes, and may go.
    letters = ["▁", *map(chr, range(33, 127)), "é"]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
    n_text = len(texts) + len(letters)
    return Made(
        words=[*words, *texts, *letters],
        kinds=[*kinds, *[NORMAL] * n_text],
        model="llama",
        pre="default",
        scores=[*[0.0] * len(words), *(-float(rank) for rank in range(n_text))],
        named={f"{KEY}eos_token_id": 2},
    )


@pytest.fixture(params=["once", "often", "pieces"])
def made(request: pytest.FixtureRequest) -> Made:
    """Each of the vocabularies."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Made)
    return found


def save_model(path: Path, made: Made) -> Path:
    n = len(made.words)
    return save(path, [*llama_entries(n), *made.entries()], llama_tensors(n))


def loaded(path: Path) -> Llama:
    return Llama(path, n_tokens=512, threads=1, is_repacked=False)


def moved(tokens: Sequence[int], keep: Sequence[int]) -> list[int]:
    new = {number: at for at, number in enumerate(keep)}
    return [new[token] for token in tokens]


def bpe(rest: Sequence[str], merges: Sequence[str]) -> Made:
    """Returns a vocabulary of twelve letters, which stay, and some words."""
    words = [*"abcdefghijkl", *rest]
    return Made(words=words, kinds=[NORMAL] * len(words), merges=merges)


def chosen(made: Made, needed: Sequence[str], n: int) -> list[str]:
    """Returns the words that stay besides the twelve letters."""
    found = kept_words(made.header(), [made.words.index(word) for word in needed], n)
    assert list(found[:12]) == list(range(12))
    return [made.words[number] for number in found[12:]]


def test_the_most_frequent_words_stay() -> None:
    made = bpe(["ab", "bc", "cd", "de"], ["a b", "b c", "c d", "d e"])

    assert chosen(made, [], 14) == ["ab", "bc"]
    assert chosen(made, ["de"], 14) == ["ab", "de"]
    assert chosen(made, [], 99) == ["ab", "bc", "cd", "de"]


def test_a_word_stays_with_what_it_is_built_of() -> None:
    merges = ["c d", "b cd", "a b", "a bcd", "ab cd", "c d"]
    made = bpe(["ab", "bc", "cd", "bcd", "abcd"], merges)

    # The tokeniser joins c and d first, then b and these; never a and b. Of merges
    # that are there twice the first counts.
    assert chosen(made, ["abcd"], 15) == ["cd", "bcd", "abcd"]


def test_a_word_that_would_be_too_many_is_passed_over() -> None:
    made = bpe(["abc", "ab", "de"], ["a b", "ab c", "d e"])

    assert chosen(made, ["de"], 14) == ["ab", "de"]
    assert chosen(made, ["de"], 15) == ["abc", "ab", "de"]


def test_what_merges_do_not_build_stays_alone() -> None:
    made = bpe(["ab", "abc", "xyz"], ["a b"])

    assert chosen(made, ["abc", "xyz"], 14) == ["abc", "xyz"]


def test_sentencepiece_ranks_by_score(pieces: Made) -> None:
    header = pieces.header()
    n_fixed = len(kept_words(header, [], 259 + 95))
    with_two = kept_words(header, [], n_fixed + 2)

    assert n_fixed == 259 + 95
    assert [pieces.words[n] for n in with_two if 259 <= n < 259 + 20] == list(
        pieces.words[259:261]
    )
    assert pieces.words.index("é") not in with_two


def test_what_is_no_text_stays(made: Made) -> None:
    header = made.header()

    kept = kept_words(header, [], least(header, []))

    assert kept == tuple(sorted(set(kept)))
    for number, (word, kind) in enumerate(zip(made.words, made.kinds, strict=True)):
        if kind not in {NORMAL, UNUSED}:
            assert number in kept, word
    assert set(made.named.values()) <= set(kept)
    if made.model == "gpt2":
        assert set(LETTERS) <= {made.words[number] for number in kept}
        spare = made.words.index("<|spare|>")
        assert spare not in kept_words(header, [], len(made.words))


def test_words_that_the_metadata_names_stay(once: Made) -> None:
    word, other, last = 700, 701, len(once.words)
    made = replace(
        once,
        named={f"{KEY}eot_token_id": word, "llama.x.pad_token_id": last},
    )
    header = made.header()
    listed = {f"{KEY}eos_token_ids": (other, -1), f"{KEY}suppress_tokens": (702,)}
    header = replace(header, metadata={**header.metadata, **listed})

    kept = kept_words(header, [], 300)

    assert {word, other} <= set(kept)
    assert 702 not in kept


def least(header: Header, needed: Sequence[int]) -> int:
    """Returns how many words stay at least, as the error says."""
    error = refusal(lambda: kept_words(header, needed, 1))
    assert error.code == "words_too_few"
    found = re.findall(r"\d+", error.hint)
    assert found == re.findall(r"\d+", error.message)[1:]
    return int(found[0])


def test_too_few_words_are_refused(once: Made) -> None:
    header, needed = once.header(), range(700, 800)

    n = least(header, needed)

    assert n > 259 + len(needed)
    assert len(kept_words(header, needed, n)) == n
    assert refusal(lambda: kept_words(header, needed, n - 1)).code == "words_too_few"


def test_words_that_are_needed_are_in_the_model(once: Made) -> None:
    for number in (-1, len(once.words)):
        with pytest.raises(ValueError, match="word"):
            kept_words(once.header(), [number], 500)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "bert"},
        {"model": ""},
        {"merges": ()},
        {"merges": ("a b", "▁ the")},
        {"merges": (1, 2)},
        {"words": ()},
        {"words": ("a", "b", "a")},
        {"words": (7, 8, 9), "kinds": (1, 1, 1)},
        {"kinds": (1, 1)},
        {"kinds": ("1",) * 14},
        {"scores": (1.0,)},
        {"model": "llama"},
    ],
)
def test_an_unknown_vocabulary_is_refused(changed: Mapping[str, Any]) -> None:
    made = replace(bpe(["ab", "bc"], ["a b", "b c"]), **changed)

    assert refusal(lambda: kept_words(made.header(), [], 99)).code == "words_unknown"


def test_texts_of_kept_words_are_read_as_before(made: Made, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base.gguf", made)
    header = load_header(base)
    with loaded(base) as model:
        before = [model.tokens(sentence) for sentence in SENTENCES]
    for seed in range(4):
        chance = random.Random(seed)  # noqa: S311
        needed = {token for tokens in chance.sample(before, 12) for token in tokens}
        keep = kept_words(header, needed, len(made.words) - 250 - 20 * seed)
        without_words(base, tmp_path / "out.gguf", keep)
        with loaded(tmp_path / "out.gguf") as model:
            assert model.n_vocabulary == len(keep)
            n_same = 0
            for sentence, tokens in zip(SENTENCES, before, strict=True):
                after = model.tokens(sentence)
                if set(tokens) <= set(keep):
                    assert after == moved(tokens, keep)
                    n_same += 1
                else:
                    assert model.text(after) == sentence
                    assert len(after) > len(tokens)
            assert 12 <= n_same < len(SENTENCES)


def test_any_text_can_be_told(made: Made, tmp_path: Path) -> None:
    base, out = save_model(tmp_path / "base.gguf", made), tmp_path / "out.gguf"
    without_words(base, out, kept_words(load_header(base), [], 460))

    with loaded(base) as model:
        before = model.tokens(NASTY)
        assert model.text(before) == NASTY
    with loaded(out) as model:
        after = model.tokens(NASTY)
        assert model.text(after) == NASTY
    assert len(after) >= len(before)


@pytest.mark.parametrize(
    "types",
    [
        {},
        {"token_embd.weight": "q8_0", "output.weight": "q4_0"},
        {"token_embd.weight": "f16", "output.weight": "iq4_nl"},
    ],
)
@pytest.mark.parametrize("has_head", [False, True])
def test_kept_words_are_as_likely_as_before(
    once: Made, tmp_path: Path, types: Mapping[str, str], has_head: bool
) -> None:
    n = len(once.words)
    entries = [*llama_entries(n), *once.entries()]
    tensors = llama_tensors(n, has_head=has_head)
    base, out = save(tmp_path / "base.gguf", entries, tensors, types), tmp_path / "out"
    with loaded(base) as model:
        tokens = model.tokens(f"{BEGIN}{SENTENCES[0]}{END}")
        keep = kept_words(load_header(base), tokens, 601)
        before = model.logits(tokens)[:, keep].copy()

    without_words(base, out, keep)

    assert len(keep) == 601
    with loaded(out) as model:
        after = model.logits(moved(tokens, keep))
        assert after.shape == before.shape
        assert np.abs(before).max() > 1
        np.testing.assert_allclose(after, before, atol=1e-4)


def test_special_words_are_special_by_their_new_numbers(
    made: Made, tmp_path: Path
) -> None:
    base, out = save_model(tmp_path / "base.gguf", made), tmp_path / "out.gguf"
    keep = kept_words(load_header(base), [], 460)
    without_words(base, out, keep)

    header = load_header(out)
    words = header.metadata[f"{KEY}tokens"]
    kinds = header.metadata[f"{KEY}token_type"]
    assert isinstance(words, tuple)
    assert words == tuple(made.words[number] for number in keep)
    assert kinds == tuple(made.kinds[number] for number in keep)
    for key, number in made.named.items():
        assert words[header.number(key) or 0] == made.words[number]
    assert header.size("vocab_size") == len(keep)
    assert header.tensors[0].shape == (WIDTH, len(keep))
    with loaded(base) as old, loaded(out) as new:
        ends = [number for number in range(old.n_vocabulary) if old.ends(number)]
        assert ends
        assert [n for n in range(len(keep)) if new.ends(n)] == moved(ends, keep)


def test_what_no_file_names_keeps_its_number(once: Made, tmp_path: Path) -> None:
    # llama.cpp takes word 11 for the end where the metadata does not say.
    words = once.words
    order = [*range(600, 650), *(n for n in range(len(words)) if not 600 <= n < 650)]
    made = replace(
        once,
        words=[words[n] for n in order],
        kinds=[once.kinds[n] for n in order],
        named={},
    )
    base, out = save_model(tmp_path / "base.gguf", made), tmp_path / "out.gguf"
    header = load_header(base)
    keep = kept_words(header, [40], least(header, [40]))
    without_words(base, out, keep)

    assert 20 not in keep
    for path in (base, out):
        with loaded(path) as model:
            assert model.ends(11)
            assert model.text([11]) == words[611].replace("Ġ", " ")


def small(rest: Sequence[bytes] = ()) -> tuple[list[bytes], dict[str, Floats]]:
    """Returns what a file of 20 words holds that nothing is computed with."""
    words = [*(letter.encode() for letter in "abcdefghijkl"), b"ab", b"bc", b"cd"]
    words += [b"<x>", b"\xff\xfe", b"abc", b"<y>", b"<z>"]
    kinds = [*[NORMAL] * 15, CONTROL, USER, NORMAL, CONTROL, CONTROL]
    entries = [
        entry("general.architecture", "llama"),
        scalar("llama.vocab_size", U32, 20),
        entry(f"{KEY}model", "gpt2"),
        spelled(f"{KEY}merges", [b"a b", b"b c", b"c d", b"ab c"]),
        spelled(f"{KEY}tokens", words),
        numbers(f"{KEY}token_type", I32, kinds),
        numbers(f"{KEY}scores", F32, list(range(20))),
        *rest,
    ]
    rows = np.arange(20 * 32, dtype=np.float32).reshape(20, 32)
    tensors: dict[str, Floats] = {
        "first.weight": -rows[:7],
        "token_embd.weight": rows,
        "output.bias": np.arange(20, dtype=np.float32),
        "last.weight": rows[3:6] / np.float32(2),
    }
    return entries, tensors


KEPT = (*range(12), 13, 15, 16, 18, 19)
"""Of those 20: without "ab", "cd" and "abc"."""


def test_numbers_of_words_are_those_after(tmp_path: Path) -> None:
    entries, tensors = small(
        [
            scalar(f"{KEY}eos_token_id", U32, 15),
            scalar(f"{KEY}bos_token_id", I32, 18),
            scalar("llama.x.pad_token_id", U64, 13),
            scalar(f"{KEY}mask_token_id", I32, -1),
            scalar(f"{KEY}fim_pad_token_id", U32, 0xFFFFFFFF),
            scalar(f"{KEY}eot_token_id", U8, 3),
            numbers(f"{KEY}eos_token_ids", I32, [19, 15]),
            numbers(f"{KEY}suppress_tokens", I32, [12, 18, 14, 3]),
        ]
    )
    base, out = save(tmp_path / "base", entries, tensors), tmp_path / "out"
    without_words(base, out, KEPT)

    found = load_header(out).metadata
    named_ = {key.removeprefix(KEY): value for key, value in found.items()}
    assert named_["eos_token_id"] == 13
    assert named_["bos_token_id"] == 15
    assert named_["llama.x.pad_token_id"] == 12
    assert named_["mask_token_id"] == -1
    assert named_["fim_pad_token_id"] == 0xFFFFFFFF
    assert named_["eot_token_id"] == 3
    assert named_["eos_token_ids"] == (16, 13)
    assert named_["suppress_tokens"] == (15, 3)
    assert named_["llama.vocab_size"] == 17
    assert named_["merges"] == ("b c",)
    assert named_["scores"] == tuple(float(number) for number in KEPT)
    assert list(found) == list(load_header(base).metadata)


def test_merges_of_words_that_are_gone_go_too(tmp_path: Path) -> None:
    base, out = save(tmp_path / "base", *small()), tmp_path / "out"
    without_words(base, out, sorted([*KEPT, 17]))

    found = load_header(out).metadata
    assert "abc" in found[f"{KEY}tokens"]  # type: ignore[operator]
    assert found[f"{KEY}merges"] == ("b c",)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [32, 128])
def test_all_else_is_as_it_was(tmp_path: Path, version: int, alignment: int) -> None:
    others = [
        spelled("general.tags", [b"\xc3\x28", b"", b"fine"]),
        text("general.name") + struct.pack("<IQ", STRING, 3) + b"\xff\x00\xfe",
        scalar("a.ratio", F64, 0.1),
        numbers("a.ratios", F64, [0.1, 0.2]),
        numbers("a.empty", BOOL, []),
        numbers("a.twenty", U8, range(20)),
        scalar("a.is_so", BOOL, True),
        entry("general.alignment", alignment),
        entry("tokenizer.chat_template", "{{ 15 }}"),
    ]
    entries, tensors = small(others)
    base = save(
        tmp_path / "base", entries, tensors, version=version, alignment=alignment
    )
    without_words(base, tmp_path / "out", KEPT)

    before, after = load_header(base), load_header(tmp_path / "out")
    raw = (tmp_path / "out").read_bytes()
    for other in others:
        assert raw.count(other) == 1
    assert b"\xff\xfe" in raw
    assert "\ufffd".encode() not in raw
    assert after.version == version
    assert after.data_offset % alignment == 0
    assert [one.name for one in after.tensors] == list(tensors)
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert new.offset % alignment == 0
        expected = tensors[old.name]
        if old.name in {"token_embd.weight", "output.bias"}:
            expected = expected[list(KEPT)]
        assert raw[new.offset : new.offset + new.n_bytes] == expected.tobytes()


@pytest.mark.parametrize(
    "keep",
    [
        KEPT[:-1],  # one that is no text is gone
        KEPT[1:],
        (*KEPT[:-2], 19, 18),
        (*KEPT, 19),
        (*KEPT, 20),
        (-1, *KEPT),
        (),
    ],
)
def test_words_of_another_model_are_refused(
    tmp_path: Path, keep: Sequence[int]
) -> None:
    base = save(tmp_path / "base", *small())

    error = refusal(lambda: without_words(base, tmp_path / "out", keep))

    assert error.code == "words_broken"
    assert list(tmp_path.iterdir()) == [base]


@pytest.mark.parametrize(
    "changed",
    [
        {"token_embd.weight": None},
        {"token_embd.weight": np.ones((21, 32), np.float32)},
        {"output.weight": np.zeros((2, 20, 32), np.float32)},
        {"blk.0.nextn.embed_tokens.weight": np.zeros((20, 32), np.float32)},
        {"output.bias": np.ones(19, np.float32)},
        {"d2t.weight": np.zeros((20, 1), np.float32)},
    ],
)
def test_tensors_that_are_not_clear_are_refused(
    tmp_path: Path, changed: Mapping[str, Any]
) -> None:
    entries, tensors = small()
    found = {**tensors, **changed}
    kept = {name: values for name, values in found.items() if values is not None}
    base = save(tmp_path / "base", entries, kept)

    error = refusal(lambda: without_words(base, tmp_path / "out", KEPT))

    assert error.code == "words_unknown"
    assert not (tmp_path / "out").exists()


def test_a_number_of_words_that_is_not_so_is_refused(tmp_path: Path) -> None:
    entries, tensors = small()
    entries[1] = scalar("llama.vocab_size", U32, 24)
    base = save(tmp_path / "base", entries, tensors)

    error = refusal(lambda: without_words(base, tmp_path / "out", KEPT))

    assert error.code == "words_unknown"


def test_a_broken_base_is_refused(tmp_path: Path) -> None:
    base = save(tmp_path / "base", *small())
    base.write_bytes(base.read_bytes()[:-40])

    with pytest.raises(GgufError) as failed:
        without_words(base, tmp_path / "out", KEPT)

    assert failed.value.code == "gguf_broken"
    assert list(tmp_path.iterdir()) == [base]


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    base, out = save(tmp_path / "base", *small()), tmp_path / "out"
    if before is not None:
        out.write_bytes(before)
    n_read = 0

    def interrupted(stream: IO[bytes], limit_bytes: int) -> Iterator[bytes]:
        nonlocal n_read
        n_read += 1
        if n_read == 3:
            raise KeyboardInterrupt
        yield stream.read(limit_bytes)

    monkeypatch.setattr("quantize.words_file.read_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        without_words(base, out, KEPT)

    assert {path.name for path in tmp_path.iterdir()} == {"base"} | (
        {"out"} if before else set()
    )
    assert before is None or out.read_bytes() == before


def test_a_base_that_is_cut_off_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save(tmp_path / "base", *small())
    monkeypatch.setattr("quantize.words_file.read_chunks", lambda *_: iter([b"short"]))

    with pytest.raises(GgufError) as failed:
        without_words(base, tmp_path / "out", KEPT)

    assert failed.value.code == "gguf_broken"
    assert list(tmp_path.iterdir()) == [base]


def test_a_full_disk_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, out = save(tmp_path / "base", *small()), tmp_path / "out"
    without_words(base, out, KEPT)
    n = out.stat().st_size
    for n_free, is_enough in ((n, True), (n - 1, False)):
        out.unlink(missing_ok=True)
        disk = SimpleNamespace(free=n_free)
        monkeypatch.setattr("shutil.disk_usage", lambda _, disk=disk: disk)
        if is_enough:
            without_words(base, out, KEPT)
        else:
            with pytest.raises(ModelError) as failed:
                without_words(base, out, KEPT)
            assert failed.value.code == "no_space"
        assert out.exists() == is_enough


def test_tensors_are_not_held_in_memory(tmp_path: Path) -> None:
    entries, tensors = small()
    large = {
        "token_embd.weight": np.zeros((20, 1 << 18), np.float32),
        "first.weight": np.ones((5, 1 << 20), np.float32),
    }
    base = save(tmp_path / "base", entries, {**tensors, **large})

    tracemalloc.start()
    without_words(base, tmp_path / "out", KEPT)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (tmp_path / "out").stat().st_size > 36e6
    assert most < 4e6


@pytest.mark.models
def test_english_is_read_and_written_with_a_third_of_the_words(
    fetched: Callable[[str], Path], tmp_path: Path
) -> None:
    (base,) = fetched(SMOLLM).glob("*.gguf")
    out, texts = tmp_path / "out.gguf", [one.text for one in python_topics()][:40]
    with loaded(base) as model:
        before = [model.tokens(one) for one in texts]
        told = f"{BEGIN}user\n{texts[0]}"
        tokens = model.tokens(told)[:64]
        needed = {*tokens, *(token for one in before for token in one)}
        keep = kept_words(load_header(base), needed, 16000)
        likely = model.logits(tokens)[:, keep].copy()
        ends = [n for n in range(model.n_vocabulary) if model.ends(n)]

    without_words(base, out, keep)

    assert len(keep) == 16000
    assert len(set(keep) & set(range(16000))) > 14000  # most frequent, most of them
    assert base.stat().st_size - out.stat().st_size > 33152 * 576
    with loaded(out) as model:
        assert [model.tokens(one) for one in texts] == [moved(n, keep) for n in before]
        assert model.text(model.tokens(NASTY)) == NASTY
        assert [n for n in range(16000) if model.ends(n)] == moved(ends, keep)
        after = model.logits(moved(tokens, keep))
        np.testing.assert_allclose(after, likely, atol=1e-3)
