"""What the benchmarks share: command line, medians, load, recordings."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.store import Store

SHARED_CLIPS = Path(__file__).parents[2] / "shared/data/speech_to_intent/audio"
CLIP_NAMES: tuple[str, ...] = (
    "01a50d1b-ed05-4708-b076-5387ea170058",
    "0334e17c-b72f-4e1a-ba76-0bb6c110ef94",
    "05ae073e-842f-4492-9fdc-e8a5bba5ace0",
    "05c641eb-5164-40f6-91ff-b742d1987e0b",
    "07c2c646-98f0-47a2-a53d-2cfffd7a8124",
    "089f79a8-6e8f-4a0f-8ef9-32008dc2dad2",
    "0a40c7aa-7adf-4687-a54f-1506c1d7b8ef",
    "0c6a26aa-bc20-4c64-960a-9162b5f81925",
    "0075d273-51bb-47cb-b323-4437bd0de029",
)
RECORDINGS = "speech-pocketsphinx"
PHOTOGRAPHS = "photographs"
BUSY_LOAD = 0.5


def run(about: str, measure: Callable[..., Mapping[str, Any]], **counts: int) -> None:
    """Runs a benchmark's command line, and prints what it measured as JSON.

    Args:
        about: Its docstring.
        measure: Called with ``threads`` and the counts.
        counts: What may be chosen besides, with what stands for no choice.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one line")
    parser.add_argument("--threads", type=int, default=2)
    for name, count in counts.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    options = vars(parser.parse_args())
    indent = None if options.pop("json") else 2
    load = load_now()
    report = {**measure(**options), "threads": options["threads"], "load": load}
    print(json.dumps(report, indent=indent))


def p95(values: Sequence[float]) -> float:
    """Returns the value that 95 % do not exceed."""
    return sorted(values)[min(len(values) - 1, round(0.95 * (len(values) - 1)))]


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Returns median, 95th percentile and number of some values."""
    if not values:
        return {"n": 0}
    return {
        "p50": round(statistics.median(values), digits),
        "p95": round(p95(values), digits),
        "max": round(max(values), digits),
        "n": len(values),
    }


def load_now() -> float:
    """Returns the machine's load, with a warning where it is not quiet."""
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        print(f"warning: the load is {load:.2f}; close what is busy", file=sys.stderr)
    return round(load, 2)


def photographs(store: Store) -> list[Path]:
    """Returns the photographs of the store, by name."""
    folder = store.path(PHOTOGRAPHS)
    return sorted(one for one in folder.iterdir() if one.suffix in (".png", ".jpg"))


def recordings(store: Store) -> dict[str, tuple[str, Path]]:
    """Returns the commands that are played: name, pack and file."""
    found = {"goforward": ("explorer", store.path(RECORDINGS) / "goforward.raw")}
    if SHARED_CLIPS.is_dir():
        found |= {
            name: ("barista", SHARED_CLIPS / f"{name}.flac") for name in CLIP_NAMES
        }
    else:
        print(f"{SHARED_CLIPS} is absent: goforward alone", file=sys.stderr)
    return found
