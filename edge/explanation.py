"""Why an utterance was understood as it was: for authors who mend a pack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge.asr import Transcript
from edge.lexicon import Lexicon
from edge.nearest import Candidate
from edge.tiers import Understood
from models.pack import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What was heard, what was made of it, and why."""

    transcript: Transcript
    understood: Understood
    why: tuple[str, ...]
    """Sentences, the most important first."""


def explain(
    lexicon: Lexicon, transcript: Transcript, understood: Understood
) -> Explained:
    """Returns why something was, or was not, understood."""
    return Explained(
        transcript=transcript,
        understood=understood,
        why=tuple(_why(lexicon, understood)),
    )


def template_of(lexicon: Lexicon, candidate: Candidate) -> Template:
    """Returns the template whose sentence a candidate is."""
    sentence = candidate.said.reading.sentence
    first = lexicon.commands.intents.index(candidate.said.declared)
    return candidate.said.declared.say[sentence - first]


def _why(lexicon: Lexicon, found: Understood) -> Iterator[str]:
    least = lexicon.pack.confidence
    best = found.candidates[0] if found.candidates else None
    if found.clarify is not None:
        yield (
            f"It can mean {len(found.clarify.options)} things, so the player is asked: "
            f"{found.clarify.question}"
        )
    elif found.intents and found.matches:
        yield (
            f'No sentence is near enough; of all examples those of "'
            f'{found.intents[0].name}" are the nearest.'
        )
    elif len(found.intents) > 1:
        yield "Each of its parts is a command."
    elif found.intents and best is not None and best.confidence == 1:
        template = template_of(lexicon, best)
        yield f'It is said by line {template.line}: "{template.text}".'
    elif found.intents and best is not None:
        template = template_of(lexicon, best)
        yield (
            f'It sounds like "{best.words}", which line {template.line} says; the '
            f"confidence is {best.confidence:.2f}, and {least:g} is asked for."
        )
    elif best is not None and best.confidence >= least:
        yield (
            f'It sounds like "{best.words}", but a word such as "that" means nothing '
            "now: nothing is pointed at, and nothing was spoken of."
        )
    elif best is not None:
        yield (
            f'The nearest sentence is "{best.words}", at a cost of {best.cost:.2f} a '
            f"sound; that is a confidence of {best.confidence:.2f}, and {least:g} is "
            "asked for."
        )
    else:
        yield "No sentence that can be said now is anything like it."
    if not found.intents and found.clarify is None:
        yield from _advice(lexicon, found)


def _advice(lexicon: Lexicon, found: Understood) -> Iterator[str]:
    absent = [
        intent
        for intent in lexicon.pack.intents
        if intent.when and lexicon.intent(intent.name) is None
    ]
    for intent in absent:
        yield f'"{intent.name}" cannot be said now: the fact {intent.when} is not true.'
    if found.matches and found.matches[0].intent is not None:
        yield (
            f'Of all examples those of "{found.matches[0].intent}" are the nearest, at '
            f"{found.matches[0].similarity:.2f}; too far, too near to others, or a "
            "value was not said. Another line of `like` may help."
        )
    else:
        yield "Where it should be a command, give an intent a template that says it."
