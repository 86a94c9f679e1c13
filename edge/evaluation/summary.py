"""An evaluation in words and numbers: one JSON object, and the texts of both pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from edge.evaluation.items import Spot, Wanted
from edge.evaluation.score import (
    Answer,
    Failure,
    Level,
    Said,
    Score,
    Share,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was evaluated, so that it can be done again."""

    pack: str
    source: str
    """Name of the folder or file that was read."""
    seed: int
    files_sha256: str
    noise_sha256: str | None
    options: Mapping[str, str]
    versions: Mapping[str, str]


def as_json(score: Score, about: About) -> dict[str, object]:
    """Returns the object that ``headside eval --json`` prints."""
    clean = score.clean
    return {
        "pack": about.pack,
        "source": about.source,
        "seed": about.seed,
        "files_sha256": about.files_sha256,
        "noise_sha256": about.noise_sha256,
        "options": dict(about.options),
        "versions": dict(about.versions),
        "clean": _share_row(clean.commands),
        "noise": {level.condition: _level_row(level) for level in score.noise},
        "noise_mean_exact": score.noise_mean,
        "false_accept": clean.accepted.exact,
        "false_accept_n": clean.accepted.n,
        "per_intent": {gold: dict(row) for gold, row in score.confusion.items()},
        "per_kind": {kind: _share_row(share) for kind, share in score.kinds.items()},
        "tiers": dict(score.tiers),
        "latency_ms": {
            "asr": asdict(score.asr) if score.asr else None,
            "intent": asdict(score.intent) if score.intent else None,
        },
        "failures": [_failure_row(failure) for failure in score.failures],
    }


def _share_row(share: Share) -> dict[str, object]:
    return {
        "exact": share.exact,
        "n": share.n,
        "wrong": share.n - share.n_right,
        "interval": list(share.interval) if share.interval else None,
    }


def _level_row(level: Level) -> dict[str, object]:
    return {
        **_share_row(level.commands),
        "false_accept": level.accepted.exact,
        "false_accept_n": level.accepted.n,
    }


def _failure_row(failure: Failure) -> dict[str, object]:
    wanted, answer = failure.wanted, failure.answer
    row: dict[str, object] = {
        "id": answer.id,
        "condition": answer.condition,
        "heard": answer.heard,
        "wanted": [
            {
                "name": intent.name,
                "slots": {
                    name: {"spot": list(value.position)}
                    if isinstance(value, Spot)
                    else value
                    for name, value in intent.slots.items()
                },
            }
            for intent in wanted.intents
        ],
        "got": [asdict(said) for said in answer.intents],
    }
    if wanted.clarify or answer.clarify:
        row["wanted_clarify"] = list(wanted.clarify)
        row["got_clarify"] = [asdict(said) for said in answer.clarify]
    if answer.error:
        row["error"] = answer.error
    return row


def condition_text(condition: str) -> str:
    """Returns a condition as people write it: ``clean``, ``24 dB``."""
    return condition if condition.isalpha() else f"{condition} dB"


def percent(share: float | None) -> str:
    """Returns a share in percent; a dash of nothing."""
    return "\u2013" if share is None else f"{100 * share:.1f} %"


def interval_text(share: Share) -> str:
    """Returns the interval of a share in percent; a dash of nothing."""
    if share.interval is None:
        return "\u2013"
    low, high = share.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def wanted_text(wanted: Wanted) -> str:
    """Returns what was wanted in a line."""
    if wanted.clarify:
        return f"ask: {', '.join(wanted.clarify)}"
    return _intents_text(
        (
            one.name,
            {
                name: "near " + " ".join(f"{at:g}" for at in value.position)
                if isinstance(value, Spot)
                else value
                for name, value in one.slots.items()
            },
        )
        for one in wanted.intents
    )


def got_text(answer: Answer) -> str:
    """Returns what came instead in a line."""
    if answer.error:
        return f"failed: {answer.error}"
    if answer.clarify and not answer.intents:
        return f"ask: {_said_text(answer.clarify)}"
    return _said_text(answer.intents)


def _said_text(said: Sequence[Said]) -> str:
    return _intents_text((one.name, one.slots) for one in said)


def _intents_text(intents: Iterable[tuple[str, Mapping[str, object]]]) -> str:
    texts = []
    for name, slots in intents:
        pairs = (f"{slot}={value}" for slot, value in slots.items())
        texts.append(f"{name}({', '.join(pairs)})")
    return "; ".join(texts) or "nothing"
