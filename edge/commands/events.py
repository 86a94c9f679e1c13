"""What a run prints for machines: one JSON object a line.

The form is written down in `events.schema.json`, beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.asr import Transcript
from edge.dialogue import Reply
from edge.intent import Intent
from edge.pipeline import Turn, TurnEvent
from edge.tiers import Clarify
from models.errors import HeadsideError

SCHEMA_FILE = Path(__file__).with_name("events.schema.json")


def event_line(event: TurnEvent) -> str:
    """Returns the line of an event of a turn."""
    match event:
        case Transcript():
            return _line(
                "transcript",
                text=event.text,
                language=event.language,
                confidence=round(event.confidence, 4),
            )
        case Intent():
            return _line("intent", **_intent(event))
        case Clarify():
            return _line(
                "clarify",
                question=event.question,
                options=[_intent(option) for option in event.options],
            )
        case Reply():
            return _line("reply", text=event.text)
        case Turn():
            return _line("turn", **_turn(event))


def silence_line(name: str) -> str:
    """Returns the line that says that nothing was said in the sound `name`."""
    return _line("no_speech", source=name)


def summary_line(*, n_turns: int, peak_memory_mb: float, threads: int) -> str:
    """Returns the last line of a run."""
    return _line(
        "summary",
        turns=n_turns,
        peak_memory_mb=round(peak_memory_mb, 1),
        threads=threads,
    )


def recording_line(name: str, reference: str) -> str:
    """Returns the line that announces a recording of the demo."""
    return _line("recording", name=name, reference=reference)


def result_line(
    *, name: str, word_error: float, intents: Sequence[Intent], reply: str, ok: bool
) -> str:
    """Returns the line of what the demo found on a recording."""
    return _line(
        "result",
        name=name,
        word_error=round(word_error, 4),
        intents=[_intent(intent) for intent in intents],
        reply=reply,
        ok=ok,
    )


def error_line(error: HeadsideError) -> str:
    """Returns the line of an error that ended the run."""
    return _line("error", code=error.code, message=error.message, hint=error.hint)


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "start_s": round(turn.start_s, 3),
        "transcript": turn.transcript.text,
        "intents": [_intent(intent) for intent in turn.intents],
        "reply": turn.reply.text,
        "timings": [
            {
                "stage": timing.stage,
                "start_ms": round(timing.start_s * 1000, 1),
                "ms": round(timing.seconds * 1000, 1),
            }
            for timing in turn.timings
        ],
    }


def _intent(intent: Intent) -> dict[str, Any]:
    return {
        "name": intent.name,
        "slots": intent.values,
        "confidence": intent.confidence,
        "tier": intent.tier,
        "span": list(intent.span),
        "confirm": intent.confirm,
    }


def _line(kind: str, **fields: Any) -> str:
    # All in ASCII: a terminal may know no more, and names of files need not be text.
    return json.dumps({"type": kind, **fields})
