"""Device profiles: figures with their sources, and what is unknown stays unknown."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from models.device import Figure, device_names, device_profile
from models.errors import ModelError


def figures(name: str) -> dict[str, Figure[object]]:
    """Return the figures of a device by name."""
    profile = device_profile(name)
    named = {key: getattr(profile, key) for key in profile.__slots__}
    return {key: value for key, value in named.items() if isinstance(value, Figure)}


def test_the_devices() -> None:
    assert device_names() == ("desktop", "quest2", "quest3")


@pytest.mark.parametrize("name", ["desktop", "quest2", "quest3"])
def test_every_figure_has_a_source_and_unknown_ones_no_value(name: str) -> None:
    found = figures(name)

    assert len(found) == 8
    for figure in found.values():
        assert figure.source
        assert (figure.value is None) == figure.source.startswith("unknown: ")
        assert figure.source in str(figure)


def test_the_headsets_budgets() -> None:
    quest3, quest2 = device_profile("quest3"), device_profile("quest2")

    assert quest3.memory_limit_bytes.value == int(5.75 * 2**30)
    assert quest2.memory_limit_bytes.value == int(4.4 * 2**30)
    assert [round(time_ms, 1) for time_ms in quest3.frame_times_ms] == [13.9, 11.1, 8.3]
    assert quest3.sustained_cpu_level.value == 4
    assert quest3.n_cores.value is None
    assert quest3.kv_bits.value == quest2.kv_bits.value == 8


def test_no_headset_is_promised_the_newer_instructions() -> None:
    for name in ("quest2", "quest3"):
        assert "i8mm" not in (device_profile(name).isa_features.value or ())


def test_the_desktop_is_read_from_this_machine() -> None:
    desktop = device_profile("desktop")

    assert desktop.memory_limit_bytes.value == psutil.virtual_memory().total
    assert desktop.memory_limit_bytes.source == "this machine"
    assert desktop.n_cores.value == len(os.sched_getaffinity(0))
    assert 1 <= (desktop.n_inference_threads.value or 0) <= desktop.n_cores.value
    assert desktop.frame_times_ms == ()


def test_an_unknown_device_names_the_known_ones() -> None:
    with pytest.raises(ModelError) as caught:
        device_profile("../quest3")

    assert caught.value.code == "device_unknown"
    assert "desktop, quest2, quest3" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('source = "estimate: ', 'source = "I think '),
        ("value = 1\n", 'value = "one"\n'),
        ("value = 1\n", ""),
        ("[n_cores]\n", "[n_cores]\nvalue = 6\n"),
        ("[n_cores]", "[n_kores]"),
        ("value = 8\n", "value = 4\n"),
        ("value = 8\n", "value = 8.5\n"),
        ("[72, 90, 120]", "[72, 90, 0]"),
    ],
)
def test_a_figure_without_a_source_or_a_value_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    text = Path("models/devices/quest3.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr("models.device._FOLDER", tmp_path)

    with pytest.raises(ModelError) as caught:
        device_profile("mine")

    assert caught.value.code == "device_invalid"
    assert "mine.toml" in caught.value.message
