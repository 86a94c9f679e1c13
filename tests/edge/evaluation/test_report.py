"""The page: it holds everything, needs nothing, and believes nobody."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge.evaluation.items import Case, Cases, TextItem, Wanted, WantedIntent
from edge.evaluation.report import as_html
from edge.evaluation.score import Answer, Said, Score, score
from edge.evaluation.summary import About, as_json
from models.pack import Pack

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\x1b[2J"
ABOUT = About(
    pack=EVIL,
    source=EVIL,
    seed=3,
    files_sha256="f" * 64,
    noise_sha256="e" * 64,
    options={"tiers": EVIL},
    versions={"headside": EVIL},
)


def found(pack: Pack, name: str, *conditions: str, right: int = 0) -> Score:
    """Returns the score of ten items, all called and answered by one name."""
    wanted = Wanted(intents=(WantedIntent(name=name, slots={name: name}),))
    ids = [f"{at}{name}" for at in range(10)]
    cases = tuple(
        Case(item=TextItem(id=item, text=name, kind=name), wanted=wanted, line=1)
        for item in ids
    )
    answers = [
        Answer(
            id=item,
            condition=condition,
            heard=name,
            intents=(Said(name=name, slots={name: name}),) if at < right else (),
            clarify=(Said(name=name, slots={name: name}),) * (at == right),
            tier=name,
            error=name if at == right + 1 else "",
        )
        for at, item in enumerate(ids)
        for condition in conditions
    ]
    everything = Cases(file=Path("x"), cases=cases, sha256="", is_sound=True)
    return score(pack, everything, answers, conditions)


class Page(HTMLParser):
    """Every tag and attribute of a page, opened and closed in order."""

    VOID = frozenset({"meta", "line", "polyline", "path", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", [EVIL, "</style>", "{0} %s \\", "\udcff"])
def test_nobodys_text_becomes_markup(pack: Pack, name: str) -> None:
    page = as_html(found(pack, name, "clean", "24", "6", right=4), ABOUT)

    parsed = Page(page)
    assert parsed.open == []
    assert not parsed.tags & {"script", "img", "link", "iframe", "a", "object"}
    assert not {one for one in parsed.attributes if one.startswith("on")}
    assert not parsed.attributes & {"src", "href"}
    assert "\x1b" not in page
    page.encode()
    if name == EVIL:
        assert "<script>alert(1)</script>" in parsed.text


def test_the_page_needs_nothing_but_itself(pack: Pack) -> None:
    page = as_html(found(pack, "greet", "clean", "24"), ABOUT)

    assert "default-src 'none'" in page
    assert "//" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_the_page_tells_what_was_found(pack: Pack) -> None:
    parsed = Page(as_html(found(pack, "greet", "clean", "24", "6", right=9), ABOUT))

    assert "svg" in parsed.tags
    for told in ("90.0 %", "9 of 10", "24 dB", "6 dB", "f" * 64, "ask: greet"):
        assert told in parsed.text


@pytest.mark.parametrize("right", [0, 10])
@pytest.mark.parametrize("conditions", [("clean",), ("clean", "24", "-6")])
def test_nothing_right_and_nothing_wrong_can_be_drawn(
    pack: Pack, right: int, conditions: tuple[str, ...]
) -> None:
    page = as_html(found(pack, "greet", *conditions, right=right), ABOUT)

    assert "nan" not in page
    assert ("Everything is as labelled." in page) is (right == 10)


def test_for_machines_all_is_there_under_its_name(pack: Pack) -> None:
    row = as_json(found(pack, "greet", "clean", "24", right=9), ABOUT)

    assert row.keys() >= {
        "pack",
        "seed",
        "files_sha256",
        "versions",
        "clean",
        "noise",
        "noise_mean_exact",
        "false_accept",
        "false_accept_n",
        "per_intent",
        "per_kind",
        "tiers",
        "latency_ms",
        "failures",
    }
    assert row["false_accept"] is None
    assert row["noise_mean_exact"] == 0.9
    assert row["per_intent"] == {"greet": {"clarify": 1, "greet": 9}}
