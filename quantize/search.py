"""Measures what each tensor's error does, and finds the assignment that loses least.

One divergence is measured for each tensor, with that tensor alone rounded to a coarse
type. Its quotient by the tensor's weighted squared error hardly depends on the type, so
that errors, which take no run of the model, tell the divergence of every other type.
Measurements are kept line by line, and serve every later budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from models.disk import write_whole
from quantize.allocation import Choice, allocate
from quantize.assignment import is_quantizable
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.ggml import fits, named
from quantize.gguf import Header, TensorType
from quantize.kernels import Seconds, key
from quantize.trial import Trial, Weight

CANDIDATES = (
    "iq4_nl",
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "q8_0",
    "iq4_xs",
    "q4_K",
    "q5_K",
    "q6_K",
)
"""Types that are looked at, as far as a tensor's rows allow."""
_PROBES = ("iq4_nl", "q8_0")
"""The type a tensor alone is rounded to: the first that its rows allow."""
_LEAST_KL = 1e-7
"""Below it a divergence is rounding."""
_WIDEST = "q8_0"
_ROUNDING = 1e-9
_MOST = 4.0
"""Times the cost of the whole model in 8 bits: more than anything costs."""
_N_HALVINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What the error of one tensor does."""

    weight: Weight
    probe: str
    kl: float
    """Nats per token, with the tensor alone in the type of the probe."""
    errors: Mapping[str, float]
    """The weighted squared error by type, over the same rows."""
    forgetful: Sequence[str] = ()
    """Types that would undo what an adapter taught."""

    def loss(self, type_name: str) -> float:
        """Returns the divergence that a type is expected to add, nats per token."""
        probed = self.errors[self.probe]
        if probed <= 0:
            return 0.0
        return max(self.kl, _LEAST_KL) * self.errors[type_name] / probed


def measure(trial: Trial, kept: Path, tell: Tell) -> list[Sensitivity]:
    """Returns the sensitivity of every tensor.

    Args:
        trial: The model and texts.
        kept: A file of what was measured before; every measurement is added to it.
        tell: Told how many tensors are done.
    """
    known = {one.weight.name: one for one in load_sensitivities(kept)}
    # Without a last line that was cut off.
    write_whole(kept, "".join(_line(one) for one in known.values()))
    weights = trial.weights
    for n, weight in enumerate(weights):
        if weight.name in known:
            continue
        tell(n, len(weights))
        found = _measured(trial, weight)
        if found is None:
            continue
        known[weight.name] = found
        with kept.open("a") as file:
            file.write(_line(found))
    tell(len(weights), len(weights))
    return [known[weight.name] for weight in weights if weight.name in known]


def _measured(trial: Trial, weight: Weight) -> Sensitivity | None:
    types = [name for name in CANDIDATES if fits(named(name), weight.n_columns)]
    probe = next((name for name in _PROBES if name in types), None)
    if probe is None:
        return None  # its rows are no whole blocks: llama.cpp leaves it as float16
    errors = trial.errors(weight.name, [named(name) for name in types])
    kl = trial.kl_of(weight.name, named(probe))
    return Sensitivity(weight=weight, probe=probe, kl=kl, errors=errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What counts besides what is lost."""

    name: str
    types: Sequence[str] = CANDIDATES
    """That may be chosen."""
    time_share: float = 0.0
    """Of a cost, for the time of products; the rest is for bytes."""
    seconds: Seconds = field(default_factory=lambda: MappingProxyType({}))
    """Of products, where time counts."""


def weights_of(header: Header) -> list[Weight]:
    """Returns the tensors of a model that a search finds types for."""
    found = []
    for tensor in header.tensors:
        n_rows, n_columns = tensor.rows
        if is_quantizable(tensor) and any(
            fits(named(name), n_columns) for name in _PROBES
        ):
            found.append(Weight(name=tensor.name, n_rows=n_rows, n_columns=n_columns))
    return found


def least_bytes(weights: Sequence[Weight], goal: Goal) -> int:
    """Returns what weights take in the smallest types that may be chosen."""
    return sum(
        min(
            weight.n_bytes(named(name))
            for name in goal.types
            if name in CANDIDATES and fits(named(name), weight.n_columns)
        )
        for weight in weights
    )


def cheapest_bytes(found: Sequence[Sensitivity], goal: Goal) -> int:
    """Returns what tensors take in the smallest types that none forbids."""
    return sum(
        min(
            one.weight.n_bytes(named(name))
            for name in one.errors
            if name in goal.types and name not in one.forgetful
        )
        for one in found
    )


def assign(
    sensitivities: Sequence[Sensitivity], budget_bytes: int, goal: Goal
) -> dict[str, TensorType]:
    """Returns the type of each tensor for a budget of all of them together.

    Where time counts, the cost of a type is its bytes and its time, each by what the
    whole model takes in 8 bits; what is spent of it is as much as the bytes allow.

    Raises:
        QuantizeError: ``budget_too_small``.
    """
    if not goal.time_share:
        found = allocate(_choices(sensitivities, goal, bytes_scale=1.0), budget_bytes)
        return {name: choice.type for name, choice in found.items()}
    weights = [one.weight for one in sensitivities]
    whole_bytes = sum(one.n_bytes(named(_WIDEST)) for one in weights)
    whole_s = sum(_seconds(goal, one, _WIDEST) for one in weights)
    choices = _choices(
        sensitivities,
        goal,
        bytes_scale=(1 - goal.time_share) / whole_bytes,
        seconds_scale=goal.time_share / whole_s,
    )

    def spending(budget: float) -> dict[str, TensorType] | None:
        found = allocate(choices, budget)
        types = {name: choice.type for name, choice in found.items()}
        n_bytes = sum(one.n_bytes(types[one.name]) for one in weights)
        return types if n_bytes <= budget_bytes else None

    cheapest = [min(one.cost for one in found) for found in choices.values()]
    low, high = sum(cheapest) * (1 + _ROUNDING), _MOST
    best = spending(low)
    if best is None:  # what is fastest is too large
        return assign(sensitivities, budget_bytes, replace(goal, time_share=0.0))
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if types := spending(middle):
            best, low = types, middle
        else:
            high = middle
    return best


def _choices(
    sensitivities: Sequence[Sensitivity],
    goal: Goal,
    *,
    bytes_scale: float,
    seconds_scale: float = 0.0,
) -> dict[str, list[Choice]]:
    found = {}
    for one in sensitivities:
        found[one.weight.name] = [
            Choice(
                type=named(name),
                cost=bytes_scale * one.weight.n_bytes(named(name))
                + (seconds_scale * _seconds(goal, one.weight, name)),
                loss=one.loss(name),
            )
            for name in one.errors
            if name in goal.types and name not in one.forgetful
        ]
    return found


def _seconds(goal: Goal, weight: Weight, type_name: str) -> float:
    return goal.seconds.get(key(type_name, weight.n_columns, weight.n_rows), 0.0)


def load_sensitivities(path: Path) -> list[Sensitivity]:
    """Returns what was measured; nothing where there is no file.

    A line that was cut off in the middle is left out.
    """
    if not path.exists():
        return []
    found: list[Sensitivity] = []
    *lines, _cut_off = path.read_text().split("\n")
    for n, line in enumerate(lines, 1):
        try:
            kept = json.loads(line)
            weight = Weight(**kept.pop("weight"))
            found.append(Sensitivity(weight=weight, **kept))
        except (ValueError, TypeError, KeyError) as error:
            raise QuantizeError(
                "measurements_broken",
                f"{path}, line {n} is no measurement.",
                "Delete the file; the tensors are measured again.",
            ) from error
    return found


def _line(one: Sensitivity) -> str:
    return json.dumps(asdict(one)) + "\n"
