"""What events hold: the stages' types as the fields of messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge.asr import Transcript
from edge.intent import Intent
from edge.pipeline import StageTiming


def transcript_fields(transcript: Transcript) -> dict[str, Any]:
    """Returns what ``transcript`` holds."""
    return {
        "text": transcript.text[:4000],
        "language": transcript.language,
        "confidence": round(min(1.0, transcript.confidence), 4),
        "words": [
            {
                "text": word.text[:200],
                "start": round(word.start_s, 3),
                "end": round(word.end_s, 3),
                "confidence": round(min(1.0, word.confidence), 3),
            }
            for word in transcript.words[:500]
        ],
    }


def intent_fields(intent: Intent, heard: Transcript | None) -> dict[str, Any]:
    """Returns what ``intent`` holds, beside its numbers."""
    span_s = _span_s(intent.span, heard) if heard else None
    return {
        "name": intent.name,
        "slots": intent.values,
        "confidence": round(intent.confidence, 4),
        "tier": intent.tier,
        "span": list(intent.span),
        **({"span_s": span_s} if span_s else {}),
    }


def option_fields(n: int, intent: Intent) -> dict[str, Any]:
    """Returns what ``clarify`` holds of an option."""
    return {"n": n, "name": intent.name, "slots": intent.values}


def timing_fields(timings: Iterable[StageTiming]) -> list[dict[str, Any]]:
    """Returns what ``turn`` holds of its timings."""
    return [
        {
            "stage": timing.stage,
            "start_ms": round(timing.start_s * 1000, 2),
            "ms": round(timing.seconds * 1000, 2),
        }
        for timing in timings
    ]


def _span_s(span: tuple[int, int], heard: Transcript) -> list[float] | None:
    """Returns when some characters of a transcript were said."""
    at, found = 0, []
    for word in heard.words:
        start = heard.text.find(word.text, at)
        if start < 0:
            continue
        at = start + len(word.text)
        if start < span[1] and at > span[0]:
            found.append(word)
    if not found:
        return None
    return [round(found[0].start_s, 3), round(found[-1].end_s, 3)]
