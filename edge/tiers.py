"""The tiers in order: what was heard in; intents, or a question, or neither out."""

from __future__ import annotations

from dataclasses import dataclass

from edge.asr import Transcript
from edge.intent import Intent, Tier, fill_line
from edge.lexicon import Lexicon
from edge.nearest import Candidate
from edge.paraphrase import Paraphrases
from edge.referents import Referents
from edge.semantic import Match
from edge.understanding import understand


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarify:
    """A question back: which of several things was meant."""

    options: tuple[Intent, ...]
    """At least two."""
    question: str
    """To put to the player."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What the tiers without a language model make of an utterance."""

    intents: tuple[Intent, ...] = ()
    clarify: Clarify | None = None
    """Then there are no intents."""
    candidates: tuple[Candidate, ...] = ()
    """Sentences of the grammar that were looked at."""
    matches: tuple[Match, ...] = ()
    """Examples that were looked at."""

    @property
    def tier(self) -> Tier | None:
        """Who recognised the intents."""
        return self.intents[0].tier if self.intents else None


def understood(
    lexicon: Lexicon,
    transcript: Transcript,
    referents: Referents,
    *,
    tiers: frozenset[Tier],
    paraphrases: Paraphrases | None,
) -> Understood:
    """Returns what the first tier that finds anything makes of an utterance.

    Args:
        lexicon: What can be said now.
        transcript: What was heard.
        referents: What "that" and "it" may mean.
        tiers: Those that are asked.
        paraphrases: The examples; None without the tier for them.
    """
    found = Understood()
    if Tier.GRAMMAR in tiers:
        said = understand(lexicon, transcript, referents)
        found = Understood(
            intents=said.intents,
            clarify=_clarify(lexicon, said.options, said.sentences),
            candidates=said.candidates,
        )
        if found.intents or found.clarify:
            return found
    if Tier.SEMANTIC in tiers and paraphrases is not None:
        meant = paraphrases.meant(lexicon, transcript.text, referents)
        least = lexicon.pack.confidence
        sure = tuple(each for each in meant.intents if each.confidence >= least)
        is_clear = len(sure) == 1
        return Understood(
            intents=sure if is_clear else (),
            clarify=None if is_clear else _clarify(lexicon, sure),
            candidates=found.candidates,
            matches=meant.matches,
        )
    return found


def _clarify(
    lexicon: Lexicon, options: tuple[Intent, ...], sentences: tuple[str, ...] = ()
) -> Clarify | None:
    if len(options) < 2:
        return None
    return Clarify(options=options, question=_question(lexicon, options, sentences))


def _question(
    lexicon: Lexicon, options: tuple[Intent, ...], sentences: tuple[str, ...]
) -> str:
    """Returns the question which was meant, by what tells the options apart."""
    if sentences:
        if lexicon.pack.language == "zh":
            return f"你是说“{'”，还是“'.join(sentences)}”？"
        quoted = [f"\u201c{sentence}\u201d" for sentence in sentences]
        return f"Did you say {' or '.join(quoted)}?"
    first = options[0].values
    different = [
        slot
        for slot in first
        if any(option.values.get(slot) != first[slot] for option in options)
    ]
    slot = different[0] if different else next(iter(first), "")
    names = [fill_line(lexicon, f"{{{slot}}}", option.slots) for option in options]
    if lexicon.pack.language == "zh":
        return f"你是说哪一个？{'，还是'.join(dict.fromkeys(names))}？"
    if len(set(names)) < len(names):
        return f"Which {names[0]} do you mean?"
    return f"Do you mean the {', the '.join(names[:-1])} or the {names[-1]}?"
