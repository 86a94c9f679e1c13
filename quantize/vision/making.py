"""Makes a network of eight bits: calibrates, rounds, chooses ranges, and repairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from quantize.onnx_session import Array
from quantize.vision.equalisation import equalise
from quantize.vision.evaluation import SURE, agreement, noise_db, say
from quantize.vision.job import Found, Job
from quantize.vision.network import Floats, Network
from quantize.vision.observing import Flow, observe
from quantize.vision.photographs import held_back, numbers
from quantize.vision.qdq import (
    Scheme,
    as_int8,
    cost_of,
    in_order,
    plain_int8,
    types_of,
    with_bounds,
    work_of,
)
from quantize.vision.ranges import best_ranges
from quantize.vision.repair import (
    Parts,
    Trial,
    fewest_floats,
    losses,
    mixed,
    parts_of,
)
from quantize.vision.rounding import gather, rounded, scales
from quantize.vision.spreading import spread

_N_TRIED = 192
"""Pictures on which choices are tried."""
_WORTH_DB = 1.0
"""That more nodes in float have to bring: they take time."""
_SPARE_DB = 1.0
"""More than is asked for: what judges are other pictures."""
_LEAST_COST = 0.01
"""Of a node that is left float: more tensors change between float and eight bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rounded:
    """A network before and after its weights were rounded."""

    network: Network
    small: Network
    flows: Mapping[str, Flow]
    steps: Mapping[str, Floats]

    def as_is(self) -> onnx.ModelProto:
        """Returns it in eight bits, with the least and the most of what flows."""
        ranges = {name: one.range for name, one in self.flows.items()}
        return as_int8(self.small, Scheme(ranges=ranges, steps=self.steps))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Repaired:
    """A network in eight bits, with what had to stay float."""

    model: onnx.ModelProto
    parts: Parts
    floats: frozenset[str]
    """Names of parts."""
    losses: dict[str, float]


def quantized(job: Job) -> Found:
    """Returns the network in eight bits, repaired as far as was needed."""
    request, clock, threads = job.request, job.clock, job.request.threads
    tell = clock.stage.tell
    seen_by, tried_on = held_back(job.calibrating)
    calibrating = job.pictures(seen_by, request.n_calibrating, seed=1)
    feeds = [{job.input: one} for one in numbers(calibrating, job.how)]
    tried = numbers(job.pictures(tried_on, _N_TRIED, seed=2), job.how)
    with clock.at("calibrating"):
        flows = observe(job.network, feeds, threads, tell)
    trial = Trial(
        input=job.input,
        pictures=tried,
        reference=say(job.network.model, job.input, tried, threads=threads, tell=tell),
        threads=threads,
        is_exact=job.is_exact,
    )
    best = _rounded(job, job.network, flows, feeds)
    n_equal = 0
    other, n_changed = equalise(job.network, flows)
    if n_changed:
        with clock.at("equalising channels"):
            seen = observe(other, feeds, threads, tell)
        equal = _rounded(job, other, seen, feeds)
        with clock.at("comparing"):
            if trial.noise_db(equal.as_is()) > trial.noise_db(best.as_is()):
                best, n_equal = equal, n_changed
    best, rule, scheme = _scheme(job, best, feeds, trial)
    found = _repaired(job, best, scheme, trial)
    done = [
        f"weights of {request.weight_bits} bits by row, losses made up for by others",
        f"ranges by {rule}",
    ]
    if n_equal:
        done.append(f"channels equalised in {n_equal} places")
    if scheme.is_layers:
        done.append("channels spread; sums, products and gates between layers float")
    if found.floats:
        done.append(f"{len(found.floats)} layers left float")
    parts = found.parts
    return Found(
        model=in_order(found.model),
        plain=plain_int8(job.network, flows),
        network=best.network,
        flows=best.flows,
        floats=frozenset(node.name for one in found.floats for node in parts[one]),
        losses=found.losses,
        method="static int8, " + "; ".join(done),
    )


def _scheme(
    job: Job,
    best: _Rounded,
    feeds: Sequence[Mapping[str, Array]],
    trial: Trial,
) -> tuple[_Rounded, str, Scheme]:
    """Returns what is quantized, by which rule its ranges are, and how.

    All that onnxruntime has in eight bits is quantized where that does; otherwise
    layers alone, with channels spread around what is between them, if that loses less.
    """
    clock, tell = job.clock, job.clock.stage.tell
    scheme = Scheme(ranges={}, steps=best.steps)
    with clock.at("choosing ranges"):
        rule, scheme, tried = best_ranges(best.small, best.flows, scheme, trial, tell)
        is_enough = _is_enough(job, trial, as_int8(best.small, scheme))
    if not is_enough:
        with clock.at("spreading channels"):
            network, _ = spread(best.network, best.flows)
            flows = observe(network, feeds, job.request.threads, tell)
        other = _rounded(job, network, flows, feeds)
        layers = Scheme(ranges={}, steps=other.steps, is_layers=True)
        with clock.at("choosing ranges"):
            found = best_ranges(other.small, flows, layers, trial, tell)
        another, _, noises = found
        if noises[another] > tried[rule] + _WORTH_DB:
            best = other
            rule, scheme, tried = found
    told = ", ".join(f"{what} {noise:.1f} dB" for what, noise in tried.items())
    job.notes.append(f"Signal by noise by the rule for ranges: {told}.")
    return best, rule, scheme


def _repaired(job: Job, best: _Rounded, scheme: Scheme, trial: Trial) -> _Repaired:
    """Returns it with the fewest layers in float that do."""
    clock, tell = job.clock, job.clock.stage.tell
    network, small = best.network, best.small
    parts = parts_of(network, types_of(as_int8(small, scheme), network))
    with clock.at("measuring layers"):
        alone = losses(network, small, scheme, parts, trial, tell)

    def make(floats: frozenset[str]) -> onnx.ModelProto:
        kept = [node for name in sorted(floats) for node in parts[name]]
        names = with_bounds(network, frozenset(node.name for node in kept))
        return as_int8(mixed(small, network, kept), replace(scheme, floats=names))

    with clock.at("repairing"):
        cost = cost_of(network, work_of(network, best.flows))
        worth = {
            name: loss / (_LEAST_COST + cost[name]) for name, loss in alone.items()
        }
        order = sorted(alone, key=lambda one: (-worth[one], one))
        floats, model = fewest_floats(
            order, make, lambda model: _is_enough(job, trial, model), tell
        )
    return _Repaired(model=model, parts=parts, floats=floats, losses=alone)


def _is_enough(job: Job, trial: Trial, model: onnx.ModelProto) -> bool:
    """Whether a network does what is asked for, on the pictures of a trial."""
    said, guard = trial.said(model), job.request.guard
    if trial.reference.is_choice:
        # Where float leads by less, too: few pictures stand for many.
        least = 1 - (1 - guard.agreement) / 2
        return agreement(trial.reference, said, SURE / 2) >= least
    return noise_db(trial.reference, said) >= guard.sqnr_db + _SPARE_DB


def _rounded(
    job: Job,
    network: Network,
    flows: Mapping[str, Flow],
    feeds: Sequence[Mapping[str, Array]],
) -> _Rounded:
    """Returns a network with its weights on their steps."""
    clock, bits = job.clock, job.request.weight_bits
    with clock.at("seeing what goes together"):
        together = gather(network, feeds, job.request.threads, clock.stage.tell)
    with clock.at("rounding weights"):
        steps = _steps(network, flows, bits)
        small = rounded(network, together, steps, bits)
    return _Rounded(network=network, small=small, flows=flows, steps=steps)


def _steps(network: Network, flows: Mapping[str, Flow], bits: int) -> dict[str, Floats]:
    return {
        node.name: scales(network, node, flows[node.input[0]].range, bits)
        for node in network.weighted()
        if node.op_type in ("Conv", "Gemm") and node.input[0] in flows
    }
