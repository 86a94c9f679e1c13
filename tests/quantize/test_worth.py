"""Is the search worth its time? What the benchmark of it has to show."""

from __future__ import annotations

import pytest

from benchmarks.bench_quantize_llm import N_LINES, measure

pytestmark = [pytest.mark.slow, pytest.mark.models]


def test_it_beats_llama_cpps_presets_at_their_own_size() -> None:
    found = measure(threads=2, full=1, presets=1, lines=N_LINES)

    assert found["bytes_vs_q4_k_m"] <= 1
    assert found["bytes_vs_iq4_nl"] <= 1
    assert found["kld_vs_q4_k_m"] <= 0.55
    assert found["kld_vs_iq4_nl"] <= 0.40
    assert found["speed_kld_vs_q4_k_m"] <= 1
    assert found["action_agreement"] >= 0.97
