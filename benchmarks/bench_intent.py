"""What it takes to understand by sound: the first tier, and the prompt that helps it.

A pack of 60 intents and a scene of 200 objects, made up by rule; utterances that its
templates say, each as five hypotheses in which words were taken for others, as a
recogniser does. One core. The recordings are real.

- `tier1_ms`, `tier1_p95_ms`: five hypotheses in, the intent out.
- `exact_ms`: the same for utterances whose best hypothesis is a sentence already.
- `understood_share`: of the utterances; nobody is fast by understanding nothing.
- `growth_1000_vs_10`: median with 1,000 objects by that with 10.
- `recompile_ms`: 1,000 objects and one more: until it can be said.
- `bias_decode_cost`: the time of a beam search of five with the prompt, by that
  without, less 1; paired over recordings. `bias_greedy_cost`: the same for the draft.

    python benchmarks/bench_intent.py --json
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.measure import p95, recordings, run, spread
from edge.asr import Transcript
from edge.backends.whisper import Whisper
from edge.build import open_sound
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.phonetics.sounds import Sounds
from edge.referents import Referents
from edge.scene import Scene, SceneObject
from edge.understanding import understand
from edge.vad import Utterance
from models.pack import Pack
from models.pack_file import load_pack
from models.store import Store

N_INTENTS, N_OBJECTS = 60, 200
N_HYPOTHESES = 5
_VERBS = [
    "open",
    "close",
    "lift",
    "drop",
    "paint",
    "shake",
    "hide",
    "show",
    "lock",
    "unlock",
    "clean",
    "break",
    "mend",
    "burn",
    "cool",
    "heat",
    "fill",
    "empty",
    "count",
    "follow",
    "greet",
    "feed",
    "wake",
    "push",
    "pull",
    "turn",
    "spin",
    "throw",
    "catch",
    "kick",
    "stack",
    "sort",
    "weigh",
    "measure",
    "taste",
    "smell",
    "polish",
    "wrap",
    "unwrap",
    "fold",
    "bend",
    "cut",
    "glue",
    "melt",
    "freeze",
    "draw",
    "write",
    "read",
    "trade",
    "borrow",
    "buy",
    "sell",
    "hang",
    "tie",
    "untie",
    "park",
    "start",
    "stop",
    "rescue",
    "guard",
]
_MATERIALS = [
    "wooden",
    "golden",
    "silver",
    "copper",
    "rusty",
    "broken",
    "ancient",
    "tiny",
    "giant",
    "painted",
    "glass",
    "marble",
    "velvet",
    "leather",
    "crystal",
    "iron",
    "stone",
    "paper",
    "plastic",
    "ivory",
]
_THINGS = [
    "lantern",
    "bucket",
    "ladder",
    "barrel",
    "anchor",
    "basket",
    "bottle",
    "candle",
    "carpet",
    "compass",
    "cradle",
    "curtain",
    "diamond",
    "drawer",
    "engine",
    "feather",
    "flute",
    "goblet",
    "hammer",
    "helmet",
    "kettle",
    "kitten",
    "locket",
    "magnet",
    "mirror",
    "needle",
    "oyster",
    "parrot",
    "pencil",
    "pillow",
    "pistol",
    "puppet",
    "rabbit",
    "ribbon",
    "rocket",
    "saddle",
    "shovel",
    "statue",
    "teapot",
    "turtle",
    "violin",
    "wagon",
    "walrus",
    "window",
    "zebra",
    "tractor",
    "tunnel",
]
_COLOURS = [
    "red",
    "green",
    "blue",
    "yellow",
    "orange",
    "purple",
    "black",
    "white",
    "brown",
    "pink",
]
_CONFUSED = {
    "the": ("a", "that"),
    "red": ("read", "rat"),
    "blue": ("blew", "below"),
    "green": ("grain", "dream"),
    "two": ("to", "too"),
    "four": ("for", "fore"),
    "please": ("piece", "peas"),
    "one": ("won", "wan"),
}


def main() -> None:
    """Runs the benchmark."""
    run(__doc__ or "", measure, utterances=200)


def measure(threads: int, utterances: int) -> dict[str, Any]:
    """Returns the figures."""
    store = Store.default()
    sounds = Sounds(store.path("cmudict-en-us") / "cmudict-en-us.dict")
    with tempfile.TemporaryDirectory() as folder:
        pack = _pack(Path(folder))
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        figures = _tier1(pack, sounds, utterances)
    finally:
        os.sched_setaffinity(0, allowed)
    return {**figures, **_bias(store, sounds, threads)}


def _tier1(pack: Pack, sounds: Sounds, n: int) -> dict[str, Any]:
    lexicon = build_lexicon(pack, _scene(N_OBJECTS), sounds=sounds)
    heard, exact = _timed(lexicon, n, n_confused=2), _timed(lexicon, n, n_confused=0)
    small = build_lexicon(pack, _scene(10), sounds=sounds)
    large = build_lexicon(pack, _scene(1000), sounds=sounds)
    # In turn, so that both meet the same moods of the machine.
    few, many = [], []
    for part in range(5):
        few += _timed(small, n // 5, n_confused=2, seed=part)[0]
        many += _timed(large, n // 5, n_confused=2, seed=part)[0]
    return {
        "n_intents": len(pack.intents),
        "n_objects": N_OBJECTS,
        "n_hypotheses": N_HYPOTHESES,
        "tier1_ms": spread(heard[0], 2),
        "tier1_p95_ms": round(p95(heard[0]), 2),
        "understood_share": round(heard[1], 3),
        "exact_ms": spread(exact[0], 2),
        "growth_1000_vs_10": round(statistics.median(many) / statistics.median(few), 2),
        "recompile_ms": spread(_recompiled(large), 2),
    }


def _timed(
    lexicon: Lexicon, n: int, *, n_confused: int, seed: int = 0
) -> tuple[list[float], float]:
    """Returns the time of each utterance in ms, and the share understood."""
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    times_ms: list[float] = []
    n_right = 0
    for _ in range(n):
        intent, words = _said(lexicon, rng)
        heard = [_confused(words, rng, n_confused) for _ in range(N_HYPOTHESES)]
        transcript = Transcript(
            text=heard[0], alternatives=tuple(heard[1:]), confidence=0.7
        )
        began_s = time.perf_counter()
        found = understand(lexicon, transcript, Referents())
        times_ms.append(1000 * (time.perf_counter() - began_s))
        n_right += [each.name for each in found.intents or found.options[:1]] == [
            intent
        ]
    return times_ms, n_right / n


def _said(lexicon: Lexicon, rng: random.Random) -> tuple[str, list[str]]:
    verb = rng.choice(_VERBS[:N_INTENTS])
    name = rng.choice(list(lexicon.names.values()))
    begin = rng.choice(("", "please ", "can you ", "i want you to "))
    end = rng.choice(
        (
            "",
            f" and make it {rng.choice(_COLOURS)}",
            f" {rng.choice(('two', 'four', 'ten'))} times",
        )
    )
    return verb, f"{begin}{verb} the {name}{end}".split()


def _confused(words: Sequence[str], rng: random.Random, n: int) -> str:
    """Returns what was heard: some words taken for others, or spelled otherwise."""
    heard = list(words)
    for at in rng.sample(range(len(heard)), min(n, len(heard))):
        word = heard[at]
        if word in _CONFUSED:
            heard[at] = rng.choice(_CONFUSED[word])
        elif len(word) > 3:
            cut = rng.randrange(1, len(word))
            vowel = rng.choice("aeiou")
            heard[at] = f"{word[:cut]}{vowel}{word[cut + 1 :]}"
    return " ".join(heard)


def _recompiled(lexicon: Lexicon) -> list[float]:
    times_ms: list[float] = []
    scene = _scene(len(lexicon.names))
    for n in range(20):
        new = SceneObject(id=f"new{n}", name=f"purple zeppelin {n}", tags=_TAGS)
        changed = replace(scene, objects=(*scene.objects, new))
        began_s = time.perf_counter()
        build_lexicon(lexicon.pack, changed, previous=lexicon)
        times_ms.append(1000 * (time.perf_counter() - began_s))
    return times_ms


def _bias(store: Store, sounds: Sounds, threads: int) -> dict[str, Any]:
    whisper = Whisper(
        store.path("whisper-base"),
        threads=threads,
        kept=store.prepared_folder("whisper-base"),
    )
    lexicons = {
        name: build_lexicon(pack, default_scene(pack), sounds=sounds)
        for name in ("barista", "explorer")
        for pack in (load_pack(name),)
    }
    beam: list[float] = []
    greedy: list[float] = []
    n_tokens: dict[str, int] = {}
    for name, path in recordings(store).values():
        lexicon = lexicons[name]
        n_tokens[name] = len(lexicon.bias)
        for utterance in _whole(path):
            whisper.draft(utterance, lexicon.bias)  # the sound is encoded now
            for costs, recognise in (
                (beam, whisper.transcribe),
                (greedy, whisper.draft),
            ):
                ratios = []
                for _ in range(3):
                    began_s = time.perf_counter()
                    recognise(utterance)
                    plain_s = time.perf_counter() - began_s
                    began_s = time.perf_counter()
                    recognise(utterance, lexicon.bias)
                    ratios.append((time.perf_counter() - began_s) / plain_s)
                costs.append(statistics.median(ratios) - 1)
    whisper.close()
    return {
        "bias_decode_cost": round(statistics.median(beam), 3),
        "bias_decode": spread(beam, 3),
        "bias_greedy_cost": round(statistics.median(greedy), 3),
    }


def _whole(path: Path) -> Iterator[Utterance]:
    chunks = list(open_sound(path))
    import numpy as np  # noqa: PLC0415 - after the number of threads is known

    samples = np.concatenate([chunk.samples for chunk in chunks])
    yield Utterance(samples=samples, start_s=0.0, speech_end_s=len(samples) / 16_000)


_TAGS = frozenset(("thing",))


def _scene(n: int) -> Scene:
    rng = random.Random(1)  # noqa: S311 - nothing secret
    names: dict[str, None] = {}
    while len(names) < n:
        name = f"{rng.choice(_MATERIALS)} {rng.choice(_THINGS)}"
        if name in names or rng.random() < 0.2:
            name = f"{rng.choice(_COLOURS)} {name}"
        names[name] = None
    return Scene(
        objects=tuple(
            SceneObject(id=f"o{at}", name=name, tags=_TAGS)
            for at, name in enumerate(names)
        )
    )


def _pack(folder: Path) -> Pack:
    colours = ", ".join(f'"{colour}"' for colour in _COLOURS)
    intents = "\n".join(
        f"""
[intents.{verb}]
say = [
    "<ask> {verb} <the> {{thing}} [and make it {{colour}}]",
    "<ask> {verb} <the> {{thing}} {{times}} times",
    "I want <the> {{thing}} to be {verb}ed",
]"""
        for verb in _VERBS[:N_INTENTS]
    )
    (folder / "pack.toml").write_text(
        f"""format = 1
name = "crowd"
[character.Ann]
persona = "Somebody."
[lists.thing]
from_scene = {{ tag = "thing" }}
[lists.colour]
values = [{colours}]
[lists.times]
range = [1, 20]
[rules]
ask = "[please|(can|could|would|will) you|I want you to|let us]"
the = "[the|a|that|this|my|your]"
{intents}
""",
        encoding="utf-8",
    )
    return load_pack(folder)


if __name__ == "__main__":
    main()
