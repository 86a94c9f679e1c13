"""Teaches a small model to choose a pack's intents: a LoRA adapter, in some minutes.

The model is shown the runtime's own prompts with the first lines that `orders.py`
draws, and answers up to the reply. It learns from what the runtime asks it alone: the
tokens where the constraint leaves a choice, and what it leaves there. All prompts begin
with the same 800 tokens; these are read once every few steps, without learning from
them, so that it takes minutes on two processors. Meanwhile the weights of the base are
moved about, ever more, up to what rounding to four bits does: what is learned that only
one exact set of weights can do is lost with them. Adapters are saved as PEFT has them,
in float16.

    python benchmarks/off_grid.py plain smollm
    headside quantize llm smollm -o small --preset q8_0
    python benchmarks/train_adapter.py smollm small/model.gguf wren-lora
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks.orders import taught
from edge.build import RuntimeOptions, build_runtime
from edge.engines import ECHO
from edge.evaluation.items import scene_of
from edge.intent import Intent, Slot, Tier
from edge.llm.model import LlmError, Prompt
from edge.llm.output import reply_prefix
from edge.pipeline import Runtime
from models.pack import Pack
from models.pack_file import load_pack
from models.store import Store

_SEED = 1
_TARGETS = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)
_RANK, _ALPHA, _RATE = 16, 32, 1e-3
_BATCH, _REFRESH = 16, 8
_N_STEPS = 200
_BLOCK, _LEVELS = 32, 15
"""Numbers that are rounded together, and steps between the least and the largest."""
_CALM_END = 0.6
"""Share of the steps after which weights are moved as far as they ever are."""
_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One line as tokens."""

    opening: tuple[int, ...]
    """The same in all."""
    said: tuple[int, ...]
    answer: tuple[int, ...]
    choices: tuple[tuple[int, tuple[int, ...]], ...]
    """Places in the answer where the constraint leaves a choice, and what it allows
    there, with what is right first."""


def lessons(pack: Pack, model: Path) -> list[Lesson]:
    """Returns lines in the runtime's prompts, with their answers.

    Args:
        pack: Whose lines.
        model: A GGUF file with the tokens.
    """
    options = RuntimeOptions(tiers=(Tier.LLM,), vad=ECHO, asr=ECHO, llm=str(model))
    runtime = build_runtime(pack, Store.default(), options)
    runtime.set_scene(scene_of(pack, None))
    found = []
    for row in taught(pack):
        intents = [_intent(pack, one) for one in row["intents"]]
        lesson = _lesson(runtime, row["text"], reply_prefix(intents))
        if lesson is not None:
            found.append(lesson)
    runtime.close()
    return found


def _intent(pack: Pack, written: Mapping[str, Any]) -> Intent:
    declared = next(one for one in pack.intents if one.name == written["name"])
    slots = tuple(
        Slot(name=name, value=written["slots"][name])
        for name in declared.slots
        if name in written["slots"]
    )
    return Intent(name=declared.name, slots=slots, tier=Tier.LLM)


def _lesson(runtime: Runtime, text: str, chosen: str) -> Lesson | None:
    """Returns a line as tokens; None where the constraint would not have the answer."""
    prompt = runtime.prompt(text)
    model: Any = runtime.model
    asked = model._tokens(prompt)  # noqa: SLF001
    whole = Prompt(messages=prompt.messages, prefix=chosen)
    tokens = model._tokens(whole).tokens  # noqa: SLF001
    n_said, n_opening = len(asked.tokens), asked.keeps[-1]
    answer = tokens[n_said:]
    try:
        choices = tuple(_choices(model._constraints, prompt.schema, answer))  # noqa: SLF001
    except LlmError:
        return None
    return Lesson(
        opening=tokens[:n_opening],
        said=tokens[n_opening:n_said],
        answer=answer[: choices[-1][0] + 1],
        choices=choices,
    )


def _choices(
    constraints: Any, schema: str, answer: Sequence[int]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yields the places of an answer that the constraint does not decide.

    Raises:
        LlmError: It would not have the answer.
    """
    matcher = constraints.begin(schema, [])
    at = 0
    while at < len(answer):
        tokens = matcher.compute_ff_tokens()
        if not tokens:
            tokens = [answer[at]]
            allowed = np.flatnonzero(constraints.allowed(matcher)).tolist()
            yield at, (answer[at], *(one for one in allowed if one != answer[at]))
        if not matcher.consume_tokens(tokens):
            raise LlmError("answer_rejected", "The answer breaks its own schema.")
        at += len(tokens)


def train(folder: Path, lines: list[Lesson], out: Path, *, n_steps: int) -> None:
    """Teaches, and saves the adapter.

    Args:
        folder: The model, as the Hugging Face hub has them.
        lines: That are taught.
        out: Where the adapter goes.
        n_steps: How often it learns from some lines.
    """
    torch.manual_seed(_SEED)
    chance = random.Random(_SEED)  # noqa: S311
    dtype = torch.bfloat16 if _multiplies_bfloat16() else torch.float32
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    config = LoraConfig(
        r=_RANK,
        lora_alpha=_ALPHA,
        target_modules=list(_TARGETS),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    llama: Any = model.get_base_model()
    weights = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.0)
    disturbed = [
        _Disturbed(one)
        for name, one in model.named_parameters()
        if one.ndim == 2 and "lora_" not in name
    ]
    opening = torch.tensor([lines[0].opening])
    mean = 0.0
    cached: Any = None
    for n in range(n_steps):
        share = n / n_steps
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (n + 1) / 10) * (1 - share)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            if n % _REFRESH == 0:
                with torch.no_grad():
                    for one in disturbed:
                        one.move(min(1.0, share / _CALM_END))
                    cached = llama.model(opening, use_cache=True).past_key_values
            loss = _loss(llama, cached, chance.sample(lines, _BATCH))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        mean = loss.item() if n == 0 else 0.9 * mean + 0.1 * loss.item()
        if n % 10 == 9:
            sys.stderr.write(f"{n + 1} of {n_steps} steps, loss {mean:.4f}\n")
    model.half().save_pretrained(str(out))
    (out / "README.md").unlink(missing_ok=True)  # of nothing but headings
    written = out / "adapter_config.json"
    config_json = json.loads(written.read_text())
    config_json["base_model_name_or_path"] = _BASE
    written.write_text(json.dumps(config_json, indent=2) + "\n")


def _multiplies_bfloat16() -> bool:
    """Whether this processor does; elsewhere it takes many times as long."""
    flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags


class _Disturbed:
    """A weight that is moved at random, as far as rounding to four bits would.

    Args:
        weight: (outputs, inputs); what it is now is where it is moved from.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight
        self._blocks = weight.detach().reshape(-1, _BLOCK).clone()
        span = self._blocks.amax(dim=1) - self._blocks.amin(dim=1)
        self._steps = (span / _LEVELS)[:, None]

    def move(self, amount: float) -> None:
        """Moves it by up to half a step, times an amount."""
        apart = (torch.rand_like(self._blocks) - 0.5) * self._steps * amount
        self._weight.copy_((self._blocks + apart).reshape(self._weight.shape))


def _loss(llama: Any, cached: Any, some: list[Lesson]) -> torch.Tensor:
    """Returns the mean loss of the choices, behind an opening that is read already.

    All lines are one sequence, in which each sees the opening and itself alone.
    """
    n_read = cached.get_seq_length()
    tokens: list[int] = []
    places: list[int] = []
    lines: list[int] = []
    asked: list[int] = []
    allowed: list[torch.Tensor] = []
    for n, one in enumerate(some):
        before = len(tokens) + len(one.said) - 1
        for at, choice in one.choices:
            asked.append(before + at)
            allowed.append(torch.tensor(choice))
        whole = [*one.said, *one.answer]
        tokens += whole
        places += range(n_read, n_read + len(whole))
        lines += [n] * len(whole)
    line = torch.tensor(lines)
    sees = (line[:, None] == line) & torch.ones(len(line), len(line)).tril().bool()
    sees = torch.cat([torch.ones(len(line), n_read).bool(), sees], dim=1)
    read = DynamicCache()
    for layer, kept in enumerate(cached.layers):
        read.update(kept.keys, kept.values, layer)
    hidden = llama.model(
        torch.tensor([tokens]),
        attention_mask=sees[None, None],
        position_ids=torch.tensor([places]),
        past_key_values=read,
    ).last_hidden_state[0]
    logits = llama.lm_head(hidden[asked]).float()
    losses = [
        one[choice].logsumexp(0) - one[choice[0]]
        for one, choice in zip(logits, allowed, strict=True)
    ]
    return torch.stack(losses).mean()


def main() -> None:
    """Trains an adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the model, in float32")
    parser.add_argument("gguf", type=Path, help="the same, as the runtime reads it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pack", default="explorer")
    parser.add_argument("--steps", type=int, default=_N_STEPS)
    given = parser.parse_args()
    pack = load_pack(given.pack, "en")
    train(given.folder, lessons(pack, given.gguf), given.out, n_steps=given.steps)


if __name__ == "__main__":
    main()
