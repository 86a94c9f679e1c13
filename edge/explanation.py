"""Why an utterance was understood as it was: for authors who mend a pack."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.asr import Transcript
from edge.grammar import tokens_of
from edge.intent import Tier
from edge.lexicon import Lexicon
from edge.nearest import Candidate, by_sound
from edge.referents import Referents
from edge.tiers import Understood
from edge.understanding import texts_of, understand
from models.pack import IntentDeclaration, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What was heard, what was made of it, and why."""

    transcript: Transcript
    understood: Understood
    why: tuple[str, ...]
    """Sentences, the most important first."""
    candidates: tuple[Candidate, ...]
    """Sentences of the grammar that are near, and those that are farther."""

    @property
    def margin(self) -> float | None:
        """Cost per sound by which the nearest leads; None where there is no other."""
        if len(self.candidates) < 2:
            return None
        return self.candidates[1].cost - self.candidates[0].cost


def explain(
    lexicon: Lexicon,
    transcript: Transcript,
    understood: Understood,
    *,
    tiers: frozenset[Tier],
    with_facts: Lexicon,
) -> Explained:
    """Returns why something was, or was not, understood.

    Args:
        lexicon: What can be said now.
        transcript: What was heard.
        understood: What was made of it.
        tiers: Those that were asked.
        with_facts: What could be said if every fact that an intent waits for were true.
    """
    if not tokens_of(lexicon, transcript.text):
        why = f"There is no word of the language {lexicon.pack.language!r} in it."
        return Explained(
            transcript=transcript, understood=understood, why=(why,), candidates=()
        )
    meant = understand(with_facts, transcript, Referents())
    waiting = [
        one.said.declared
        for one in meant.candidates[:1]
        if one.confidence >= lexicon.pack.confidence
        and lexicon.intent(one.said.declared.name) is None
    ]
    return Explained(
        transcript=transcript,
        understood=understood,
        why=tuple(
            _why(lexicon, understood, waiting)
            if Tier.GRAMMAR in tiers
            else _why_without_grammar(understood, tiers)
        ),
        candidates=(
            _candidates(lexicon, transcript, understood)
            if Tier.GRAMMAR in tiers
            else ()
        ),
    )


def _candidates(
    lexicon: Lexicon, transcript: Transcript, found: Understood
) -> tuple[Candidate, ...]:
    """Returns what was looked at, and what is too far to be of interest but here."""
    known = {(one.said.declared.name, one.words) for one in found.candidates}
    texts = texts_of(lexicon, transcript)
    far = (
        by_sound(lexicon, texts, transcript.confidence, near=math.inf) if texts else []
    )
    others = [one for one in far if (one.said.declared.name, one.words) not in known]
    return (*found.candidates, *others)


def template_of(lexicon: Lexicon, candidate: Candidate) -> Template:
    """Returns the template whose sentence a candidate is."""
    sentence = candidate.said.reading.sentence
    first = lexicon.commands.intents.index(candidate.said.declared)
    return candidate.said.declared.say[sentence - first]


def _why(
    lexicon: Lexicon, found: Understood, waiting: Sequence[IntentDeclaration]
) -> Iterator[str]:
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
    elif waiting:
        (intent,) = waiting
        yield f'"{intent.name}" cannot be said now: the fact {intent.when} is not true.'
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
    is_known = bool(waiting) or (best is not None and best.confidence >= least)
    if not found.intents and found.clarify is None and not is_known:
        yield _advice(found)


def _why_without_grammar(found: Understood, tiers: frozenset[Tier]) -> Iterator[str]:
    if found.intents:
        yield f'Of all examples those of "{found.intents[0].name}" are the nearest.'
    elif found.matches:
        yield _advice(found)
    if Tier.LLM in tiers and not found.intents:
        yield "The language model is not asked here; see `headside run --tier llm`."


def _advice(found: Understood) -> str:
    if found.matches and found.matches[0].intent is not None:
        return (
            f'Of all examples those of "{found.matches[0].intent}" are the nearest, at '
            f"{found.matches[0].similarity:.2f}; too far, too near to others, or a "
            "value was not said. Another line of `like` may help."
        )
    return "Where it should be a command, give an intent a template that says it."
