"""Makes lines of text that a pack's own grammar understands, with what they mean.

Sentences are drawn from the pack's templates and labelled by the grammar tier; lines of
ordinary talk, for which nothing is to be done, come between. A language model is taught
with the first ones (`train_adapter.py`), and those after them tell whether a quantized
one still does the same. The lines depend on the pack alone, and no two are alike.

    python benchmarks/orders.py 640 > orders.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edge.asr import Transcript
from edge.build import RuntimeOptions, build_runtime
from edge.engines import ECHO
from edge.evaluation.items import scene_of
from edge.intent import Tier
from models.pack import Pack, RangeList, SceneList, SlotList, ValuesList
from models.pack_file import load_pack
from models.store import Store
from models.template import AnyOrder, Choice, Node, RuleRef, SlotRef, Words

_TALK = Path(__file__).parents[1] / "edge" / "ordinary_talk.txt"
_TALK_EVERY = 5
_UNITS = {"m": ("metres", "meters"), "deg": ("degrees",), "": ("",)}
_MOST_WORDS = 14
_SEED = 1
_N_TAUGHT = 2800


@dataclass(frozen=True, slots=True, kw_only=True)
class _Speaker:
    """Draws sentences."""

    pack: Pack
    random: random.Random

    def said(self, node: Node) -> str | None:
        """Returns what one way through a tree says; None where it cannot be drawn."""
        if isinstance(node, Words):
            return node.text
        if isinstance(node, Choice):
            return self.said(self.random.choice(node.items))
        if isinstance(node, RuleRef):
            return self.said(self.pack.rules[node.name].tree)
        if isinstance(node, SlotRef):
            return self._value(self.pack.lists[node.list_name])
        items = list(node.items)
        if isinstance(node, AnyOrder):
            self.random.shuffle(items)
        parts = [self.said(item) for item in items]
        if any(part is None for part in parts):
            return None
        between = " " if isinstance(node, AnyOrder) else ""
        return between.join(part for part in parts if part is not None)

    def _value(self, found: SlotList) -> str | None:
        if isinstance(found, ValuesList):
            return self.random.choice(self.random.choice(found.values).phrases)
        if isinstance(found, RangeList):
            low, high = max(1, round(found.low)), min(20, round(found.high))
            number = self.random.randint(low, max(low, high))
            return f"{number} {self.random.choice(_UNITS.get(found.unit, ('',)))}"
        if isinstance(found, SceneList):
            things = scene_of(self.pack, None).tagged(found.tag)
            return self.random.choice(things).name if things else None
        return None


def taught(pack: Pack) -> list[dict[str, Any]]:
    """Returns the lines that a model is taught, as `headside eval` reads them."""
    with closing(_orders(pack)) as lines:
        return list(islice(lines, _N_TAUGHT))


def asked(pack: Pack, n: int) -> list[dict[str, Any]]:
    """Returns others, for what was taught.

    The sentences that stand in the pack are not among them: they calibrate.

    Args:
        pack: Whose sentences.
        n: How many.
    """
    own = {test.sentence for intent in pack.intents for test in intent.tests}
    own |= {line.text for intent in pack.intents for line in intent.like}
    with closing(_orders(pack)) as lines:
        others = (
            line for line in islice(lines, _N_TAUGHT, None) if line["text"] not in own
        )
        return list(islice(others, n))


def _orders(pack: Pack) -> Generator[dict[str, Any]]:
    chance = random.Random(_SEED)  # noqa: S311
    talk = _TALK.read_text().splitlines()
    chance.shuffle(talk)
    speaker = _Speaker(pack=pack, random=chance)
    options = RuntimeOptions(tiers=(Tier.GRAMMAR,), vad=ECHO, asr=ECHO, llm=ECHO)
    runtime = build_runtime(pack, Store.default(), options)
    runtime.set_scene(scene_of(pack, None))
    intents = [one for one in pack.intents if not one.high_risk]
    seen: set[str] = set()
    try:
        while True:
            if talk and len(seen) % _TALK_EVERY == _TALK_EVERY - 1:
                text, meant = talk.pop(), []
            else:
                declared = chance.choice(intents)
                drawn = speaker.said(chance.choice(declared.say).tree)
                if drawn is None:
                    continue
                text = " ".join(drawn.split())
                found = runtime.understood(Transcript(text=text))
                meant = [
                    {"name": one.name, "slots": one.values} for one in found.intents
                ]
                if not meant or len(text.split()) > _MOST_WORDS:
                    continue
            if text in seen:
                continue
            seen.add(text)
            yield {"id": f"{_SEED}-{len(seen)}", "text": text, "intents": meant}
    finally:
        runtime.close()


def main() -> None:
    """Prints lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int)
    parser.add_argument("--pack", default="explorer")
    given = parser.parse_args()
    for row in asked(load_pack(given.pack, "en"), given.n):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
