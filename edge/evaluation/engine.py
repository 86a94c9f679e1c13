"""What understands: the chain of a runtime, up to the intents."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from threading import Event

from edge.asr import Transcript, recognise
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.dialogue import Exchange
from edge.evaluation.items import Result, TextItem, Understander, scene_of
from edge.intent import Intent, Slot, Tier
from edge.pipeline import Runtime
from edge.tiers import Understood
from edge.vad import Utterance


def build_understander(runtime: Runtime) -> Understander:
    """Returns what understands as a runtime does, whose scene it sets."""
    return _RuntimeUnderstander(runtime=runtime)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RuntimeUnderstander:
    """A runtime, each item for itself: nothing was said before."""

    runtime: Runtime

    def hear(self, samples: Samples) -> Result:
        """Returns what one utterance means, in the scene of a recording."""
        self.runtime.set_scene(scene_of(self.runtime.pack, None))
        utterance = Utterance(
            samples=samples, start_s=0.0, speech_end_s=len(samples) / SAMPLE_RATE_HZ
        )
        began_s = time.perf_counter()
        transcript = recognise(
            self.runtime.recogniser,
            utterance,
            self.runtime.lexicon.bias,
            settles=self.runtime.settles,
        )
        asr_ms = 1000 * (time.perf_counter() - began_s)
        return self._meant(transcript, utterance, asr_ms)

    def read(self, item: TextItem) -> Result:
        """Returns what words mean in their scene."""
        self.runtime.set_scene(scene_of(self.runtime.pack, item))
        conversation = self.runtime.conversation
        conversation.forget()
        for thing in reversed(item.focus):
            spoken_of = Slot(name="object", value=thing)
            before = Intent(name="describe", slots=(spoken_of,), tier=Tier.GRAMMAR)
            conversation.remember(Exchange(player="", intents=(before,), reply=""))
        return self._meant(
            Transcript(text=item.text, words=item.words), None, asr_ms=0.0
        )

    def _meant(
        self, transcript: Transcript, utterance: Utterance | None, asr_ms: float
    ) -> Result:
        began_s = time.perf_counter()
        found = (
            self.runtime.understood(transcript, utterance)
            if transcript.text
            else Understood()
        )
        if transcript.text and not found.intents and found.clarify is None:
            found = replace(found, intents=self._chosen(transcript.text))
        return Result(
            intents=found.intents,
            clarify=found.clarify.options if found.clarify else (),
            transcript=transcript.text,
            tier=None if found.tier is None else found.tier.value,
            asr_ms=asr_ms,
            intent_ms=1000 * (time.perf_counter() - began_s),
        )

    def _chosen(self, text: str) -> tuple[Intent, ...]:
        """Returns what the language model makes of words, where it is asked."""
        runtime = self.runtime
        if Tier.LLM not in runtime.tiers:
            return ()
        return runtime.chosen(text, Event()).intents
