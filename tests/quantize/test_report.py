"""The report: machines read it back, people see all of it, and it believes nobody."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from quantize.divergence import Summary
from quantize.intervals import Interval
from quantize.limits import Limit
from quantize.report import (
    FileFacts,
    Method,
    Report,
    Sample,
    TensorFacts,
    TextFacts,
    save_report,
)
from quantize.report_html import as_html
from quantize.task import TaskSummary

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\x1b[2J"
MADE_UP = {
    "this": (104.3, 0.0521),
    "q4_0": (107.1, 0.412),
    "iq4_nl": (107.1, 0.376),
    "q4_k_m": (124.4, 0.0987),
    "q5_k_m": (124.9, 0.0602),
    "q6_k": (138.2, 0.0311),
    "q8_0": (144.8, 0.00214),
}
"""Megabytes and mean KL."""
WHY = "rows of 576 are no whole blocks of 256: no K-type fits"


def method(name: str, megabytes: float, kl: float, spread: float = 0.08) -> Method:
    return Method(
        name=name,
        n_bytes=round(megabytes * 1e6),
        summary=Summary(
            n_documents=60,
            n_tokens=30720,
            kl_mean=Interval(mean=kl, low=kl * (1 - spread), high=kl * (1 + spread)),
            kl_median=kl * 0.61,
            kl_p99=kl * 7.3,
            same_top=Interval(mean=0.913, low=0.905, high=0.921),
            perplexity_ratio=Interval(mean=1.047, low=1.031, high=1.064),
        ),
    )


def tensors(n_blocks: int) -> list[TensorFacts]:
    """Returns what a small Llama has, in types of a budget."""
    chance = np.random.default_rng(3)
    types = ["iq4_nl", "q4_0", "q5_1", "q5_0", "q8_0"]
    roles = ["attn_q", "attn_k", "attn_v", "attn_output"]
    roles += ["ffn_gate", "ffn_up", "ffn_down"]
    names = [f"blk.{n}.{role}.weight" for n in range(n_blocks) for role in roles]
    return [
        TensorFacts(name="token_embd.weight", type="q6_K", n_bytes=23_224_320),
        *(
            TensorFacts(
                name=name,
                type=types[chance.integers(len(types))],
                n_bytes=int(chance.choice([62_208, 186_624, 497_664])),
                probe="iq4_nl",
                probe_kl=chance.lognormal(-8, 1.2),
                expected_kl=chance.lognormal(-9, 1),
                why="" if "ffn" in name else WHY,
            )
            for name in names
        ),
        TensorFacts(name="output.weight", type="q8_0", n_bytes=30_081_024),
    ]


def made_up(n_blocks: int = 30) -> Report:
    """Returns a report as one of a small model would be."""
    chance = np.random.default_rng(5)
    return Report(
        source=FileFacts(
            name="smollm2-135m-instruct",
            sha256="a" * 64,
            n_bytes=269_060_552,
            bits_per_weight=16.0,
            fast_share=None,
        ),
        out=FileFacts(
            name="character-4bit.gguf",
            sha256="b" * 64,
            n_bytes=104_300_000,
            bits_per_weight=6.2,
            fast_share=0.874,
        ),
        architecture="llama",
        licence="apache-2.0",
        method="search",
        imatrix_sha256="c" * 64,
        texts=[
            TextFacts(
                use=use,
                sources=tuple(f"Python topic {n}" for n in range(n_documents)),
                n_documents=n_documents,
                n_tokens=n_documents * 512,
                sha256=use[0] * 64,
            )
            for use, n_documents in [("calibration", 5), ("evaluation", 60)]
        ],
        tensors=tensors(n_blocks),
        methods=[method(name, *found) for name, found in MADE_UP.items()],
        kl_by_position=[
            0.05 + 0.3 / (1 + n / 8) + chance.random() * 0.02 for n in range(512)
        ],
        limits=[
            Limit(name="mean KL", limit=0.12, found=0.0563, is_met=True),
            Limit(name="action agreement", limit=0.97, found=0.981, is_met=True),
        ],
        samples=[
            Sample(
                prompt="user: Where is the key?\nassistant:",
                reference="It hangs behind the bar.\nAsk the innkeeper for it.",
                quantized="It hangs behind the bar.\nThe innkeeper has it.",
            ),
            Sample(prompt="你好", reference="你好！", quantized="你好！"),
        ],
        tasks=[
            TaskSummary(
                kv_bits=16,
                n_items=640,
                agreement=Interval(mean=0.984, low=0.971, high=0.992),
                n_acting=480,
                valid=1.0,
                reference_right=0.9,
                right=0.895,
                n_lost=7,
                n_gained=4,
                change=Interval(mean=-0.005, low=-0.014, high=0.005),
                decision_kl=Interval(mean=0.0123, low=0.01, high=0.015),
                n_decisions=4321,
            )
        ],
        notes=["The rows of 210 of 211 tensors are 576 wide: K-types do not fit them."],
        tools=[("headside", "0.1.0"), ("llama-cpp-python", "0.3.36")],
        seconds=[("convert", 31.4), ("search", 612.0)],
    )


EMPTY = replace(
    made_up(),
    texts=[],
    tensors=[],
    methods=[],
    kl_by_position=[],
    limits=[],
    samples=[],
    tasks=[],
    notes=[],
    tools=[],
    seconds=[],
)


class Page(HTMLParser):
    """Every tag and attribute of a page, opened and closed in order."""

    VOID = frozenset({"meta", "path", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += f"{data} "

    @property
    def shown(self) -> str:
        """What can be read, tooltips with it."""
        return self.text + " ".join(
            value for name, value in self.attributes if name == "title"
        )

    def labels(self) -> list[tuple[float, float, float, str]]:
        """Returns where each label of a dot begins and ends, its line, and itself."""
        return [
            (
                (at := float(x)) - (width := 7 * len(name)) * (side == "end"),
                at + width * (side == "start"),
                float(y),
                name,
            )
            for side, x, y, name in re.findall(
                r'<circle[^>]*/><text class="(start|end)" x="([\d.-]+)" '
                r'y="([\d.-]+)">([^<]*)</text>',
                self.page,
            )
        ]


def test_what_is_saved_can_be_read_back(tmp_path: Path) -> None:
    report = made_up()
    save_report(tmp_path / "report.json", report)

    found = json.loads((tmp_path / "report.json").read_text())

    assert found == json.loads(json.dumps(asdict(report)))
    assert found["schema"] == 2
    assert found["out"]["bits_per_weight"] == 6.2
    assert [one["name"] for one in found["methods"]] == list(MADE_UP)
    assert found["methods"][0]["summary"]["kl_mean"]["mean"] == 0.0521
    assert found["texts"][0]["sources"][0] == "Python topic 0"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_page_tells_what_was_measured() -> None:
    shown = Page(as_html(made_up())).shown

    for told in (
        "104.3 MB",
        "38.8 % of 269.1 MB",
        "6.20",
        "0.0521 (0.0479\u20130.0563)",  # mean KL of what was made
        "0.376",
        "0.0318",  # its median
        "0.38",  # its 99th of 100
        "91.3 % (90.5 %\u201392.1 %)",
        "1.047 (1.031\u20131.064)",
        "87.4 %",
        "2 of 2 limits met",
        "apache-2.0",
        "612.0 s",
        "llama-cpp-python",
        "Python topic 4",
        "and 54 more",
        "K-types do not fit",
        "blk.0.attn_q.weight: ",
        "a" * 64,
        "b" * 64,
        "c" * 64,
        "e" * 64,
    ):
        assert told in shown


def test_no_number_is_made_up() -> None:
    """All numbers that are read are the report's, counts of it, or marks of axes."""
    report = made_up(n_blocks=2)
    page = Page(re.sub(r"<text class.*?</text>", "", as_html(report)))
    known = {f"{n}" for n in (*range(10), 95, 99, 100, 2, 14)}  # words and counts
    known |= set(re.findall(r"\d+(?:\.\d+)?", json.dumps(asdict(report))))
    known.add("54")  # of 60 sources, those that are not named
    known |= {f"{16 * size / 32:g}" for size in (9, 11, 12, 17)}  # bits, from TYPES
    known |= {"4.5", "5.5", "5", "6", "8.5", "6.562"}
    known |= {"38.8", "87.4"}
    numbers: list[float] = []

    def gather(found: object) -> None:
        if isinstance(found, dict):
            for value in found.values():
                gather(value)
        elif isinstance(found, list | tuple):
            for value in found:
                gather(value)
        elif isinstance(found, int | float):
            numbers.append(found)

    gather(asdict(report))
    sums = {
        type_: sum(one.n_bytes for one in report.tensors if one.type == type_)
        for type_ in {one.type for one in report.tensors}
    }
    for number in map(abs, (*numbers, *sums.values())):
        known |= {f"{number:.3g}", f"{number:.2f}", f"{number:.3f}", f"{number:.1f}"}
        known |= {f"{100 * number:.1f}", f"{number / 1e6:.1f}"}

    read = set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?(?![\w.]*\w)", page.shown))

    assert read - known == set()
    assert len(read) > 60


@pytest.mark.parametrize(
    "name", [EVIL, "</style>", "{0} %s \\", "\udcff", "]]>", "-->"]
)
def test_nobodys_text_becomes_markup(name: str) -> None:
    report = made_up()
    evil = replace(
        report,
        source=replace(report.source, name=name, sha256=name),
        out=replace(report.out, name=name, sha256=name),
        architecture=name,
        licence=name,
        method=name,
        imatrix_sha256=name,
        texts=[
            replace(one, use=name, sources=(name,), sha256=name) for one in report.texts
        ],
        tensors=[
            TensorFacts(name=n, type=name, n_bytes=1, probe=name, probe_kl=1, why=name)
            for n in (name, f"blk.3.{name}.weight", f"blk.{name}.x", f"blk.3.{name}")
        ],
        methods=[replace(one, name=name) for one in report.methods],
        limits=[Limit(name=name, limit=1, found=0, is_met=False)],
        samples=[Sample(prompt=name, reference=name, quantized=f"x{name}")],
        notes=[name],
        tools=[(name, name)],
        seconds=[(name, 1.0)],
    )
    page = Page(as_html(evil))

    plain = Page(as_html(report))
    assert set(page.tags) <= set(plain.tags) | {"mark"}
    assert {one for one, _ in page.attributes} <= {one for one, _ in plain.attributes}
    assert not {"script", "img", "a", "link"} & set(page.tags)
    assert "\x1b" not in page.page
    page.page.encode()
    if name == EVIL:
        assert page.text.count("<script>alert(1)</script>") > 20


def test_the_page_needs_nothing_but_itself() -> None:
    page = as_html(made_up())

    assert "default-src 'none'" in page
    assert "//" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_what_was_not_measured_is_left_out() -> None:
    page = Page(as_html(EMPTY))

    assert "svg" not in page.tags
    assert re.findall(r"<h2>(.*?)</h2>", page.page) == ["Hashes"]
    assert "guard" not in page.text


@pytest.mark.parametrize(
    "methods",
    [
        [method("this", 100, 0.0)],
        [method("this", 0, 0.05)],
        [method("this", 100, 0.05), method("q4_0", 100, 0.05)],
        [method("this", 100, 1e-12), method("q4_0", 100.000001, 12.0)],
        [method("this", 100, math.nan), method("q4_0", 100, math.inf)],
        [method("q4_0", 100, 0.05, spread=1.5)],
        [method("this", 100, 0.05, spread=0)],
    ],
)
def test_any_numbers_can_be_drawn(methods: list[Method]) -> None:
    page = Page(
        as_html(replace(EMPTY, methods=methods, kl_by_position=[0.0, math.nan]))
    )

    drawn = [value for name, value in page.attributes if name in {"d", "x", "y", "cy"}]
    assert drawn
    assert not [value for value in drawn if re.search(r"nan|inf|e[-+]", value)]


def test_a_limit_that_is_not_met_is_told_first() -> None:
    report = made_up()
    limit = Limit(name="action agreement", limit=0.97, found=0.943, is_met=False)
    page = Page(as_html(replace(report, limits=[*report.limits, limit])))

    told = "Not passed: action agreement is 0.943, the limit is 0.97."
    assert page.text.index(told) < page.text.index("Methods")
    assert "2 of 3 limits met" in page.text


def test_what_was_made_stands_out_and_once() -> None:
    page = as_html(made_up())

    groups = re.findall(r'<g class="(\w+)"><title>([^<]*)</title>', page)
    assert len(groups) == len(MADE_UP)
    assert [told for kind, told in groups if kind == "this"] == [
        "this: 104.3 MB, mean KL 0.0521 (0.0479\u20130.0563)"
    ]
    assert groups[-1][0] == "this"  # over the others
    assert re.findall(r'<tr class="this">\s*<td[^>]*>(.*?)</td>', page) == ["this"]


@pytest.mark.parametrize("seed", range(8))
def test_labels_stand_on_nothing(seed: int) -> None:
    """Methods that are hard beside each other, with short and with long names."""
    chance = np.random.default_rng(seed)
    near = [
        method(
            f"{n}{'name' * int(chance.integers(4))}",
            105 + chance.random() * 10.0 ** chance.integers(-3, 2),
            0.05 + chance.random() * 10.0 ** chance.integers(-4, 1),
        )
        for n in range(14)
    ]
    labels = Page(as_html(replace(EMPTY, methods=near))).labels()

    assert len(labels) == 14
    for at, (left, right, y, name) in enumerate(labels):
        assert left >= 0, name
        assert right <= 704, name
        assert 0 < y < 340, name
        for other in labels[:at]:
            is_apart = right <= other[0] or left >= other[1] or abs(y - other[2]) >= 15
            assert is_apart, (name, other)


def test_long_names_are_cut_where_there_is_no_room() -> None:
    name = "character-" * 40
    page = Page(as_html(replace(EMPTY, methods=[method(name, 100, 0.05)])))

    (label,) = page.labels()
    assert label[3] == "character-character-cha\u2026"
    assert name in page.text


def test_blocks_are_columns_and_what_a_tensor_does_is_a_row() -> None:
    names = ["token_embd.weight", "blk.10.ffn_up.weight", "blk.2.attn_q.weight"]
    names += ["blk.2.ffn_up.weight", "blk.2.attn_q.bias", "blk.99999999.x", "blk.02.x"]
    found = [TensorFacts(name=name, type="q4_0", n_bytes=1) for name in names]
    page = as_html(replace(EMPTY, tensors=found))

    heat = page[page.index('class="heat"') : page.index("outside of blocks")]
    assert re.findall(r'scope="col">(\d+)<', heat) == ["2", "10"]
    assert re.findall(r'scope="row">(.*?)<', heat) == [
        "ffn_up",
        "attn_q",
        "attn_q.bias",
    ]
    assert len(re.findall(r"<td", heat)) == 6
    assert len(re.findall(r"<td></td>", heat)) == 2
    assert 'title="blk.2.ffn_up.weight: q4_0, 4.5 bits"' in heat
    outside = page[page.index("outside of blocks") :]
    assert re.findall(r"<td[^>]*>(\w+\.\w+(?:\.\w)?)</td>", outside) == [
        "token_embd.weight",
        "blk.99999999.x",
        "blk.02.x",
    ]


def test_more_bits_are_a_stronger_colour() -> None:
    types = ["q8_0", "iq4_nl", "q5_0", "q4_0", "of nobody"]
    found = [
        TensorFacts(name=f"blk.{n}.ffn_up.weight", type=type_, n_bytes=1)
        for n, type_ in enumerate(types)
    ]
    page = as_html(replace(EMPTY, tensors=found))

    told = re.findall(r'--depth:([\d.]+)"></i>([^<:]*)', page)
    assert [name for _, name in told] == [
        "of nobody",
        "iq4_nl, 4.5 bits",
        "q4_0, 4.5 bits",
        "q5_0, 5.5 bits",
        "q8_0, 8.5 bits",
    ]
    depths = [float(depth) for depth, _ in told]
    assert depths[1] == depths[2]
    assert depths[0] < depths[1] < depths[3] < depths[4]


def test_the_most_sensitive_tensors_come_first() -> None:
    report = made_up()
    page = as_html(report)

    rows = page[page.index("Most sensitive tensors (30 of 210)") :]
    rows = rows[: rows.index("</table>")]
    names = re.findall(r"<td[^>]*>(blk[^<]*)</td>", rows)
    worst = sorted(report.tensors, key=lambda one: -one.probe_kl)[:30]
    assert names == [one.name for one in worst]
    widths = [float(width) for width in re.findall(r"width:([\d.]+)rem", rows)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 9


def test_samples_are_marked_from_where_they_part() -> None:
    page = as_html(made_up())

    assert re.findall(r"<mark>([^<]*)</mark>", page) == [
        "Ask the innkeeper for it.",
        "The innkeeper has it.",
    ]
    assert "user: Where is the key?\nassistant:" in page
