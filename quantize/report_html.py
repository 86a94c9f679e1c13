"""The report of a language model as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from math import ceil, isfinite, log10
from statistics import fmean

from quantize.chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    log_marks,
    place,
    round_marks,
    svg,
)
from quantize.gguf import TYPES
from quantize.intervals import Interval
from quantize.page import (
    THIS,
    limits_of,
    lines_of,
    listed,
    mb,
    number,
    over,
    page,
    percent,
    plain,
    ratio,
    spread,
    table,
    tiles,
    with_spread,
)
from quantize.report import Method, Report, Sample, TensorFacts
from quantize.task import TaskSummary

_N_SENSITIVE = 30
_N_WINDOWS = 160
"""Of positions, each drawn as its mean."""
_N_LETTERS = 24
"""Of a name in the picture."""
_LEAST_KL = 1e-6
"""Nats per token, where the logarithmic axis ends."""
_BITS = {type_.name: type_.bits for type_ in TYPES.values()}
_IN_BLOCK = re.compile(r"blk\.(0|[1-9][0-9]{0,5})\.(.+?)(?:\.weight)?", re.DOTALL)


def as_html(report: Report) -> str:
    """Returns the whole page."""
    parts = [
        *_headline(report),
        *_methods(report.methods),
        *limits_of(report.limits),
        *_bits(report.tensors),
        *_sensitivities(report.tensors),
        *_positions(report.kl_by_position),
        *_tasks(report.tasks),
        *_samples(report.samples),
        *_provenance(report),
    ]
    return page(report.out.name, parts)


def _headline(report: Report) -> Iterator[str]:
    source, out, limits = report.source, report.out, report.limits
    share = percent(out.n_bytes / max(1, source.n_bytes))
    bits = f"{source.bits_per_weight:.2f} in the source"
    figures = [
        ("size", mb(out.n_bytes), f"{share} of {mb(source.n_bytes)}"),
        ("bits per weight", f"{out.bits_per_weight:.2f}", bits),
    ]
    for found in (one.summary for one in report.methods if one.name == THIS):
        kl, same = found.kl_mean, found.same_top
        figures += [
            ("mean KL", number(kl.mean), spread(kl, number)),
            ("same top word", percent(same.mean), spread(same, percent)),
        ]
    if out.fast_share is not None:
        share = percent(out.fast_share)
        figures.append(("on fast ARM kernels", share, "of its multiply-adds"))
    if limits:
        n_met = f"{sum(one.is_met for one in limits)} of {len(limits)} limits met"
        figures.append(("guard", "passed" if report.is_passed else "not passed", n_met))
    about = (
        f"Made from {source.name} ({report.architecture}, licence: "
        f"{report.licence or 'unknown'}) by {report.method}. KL is the divergence from "
        "the source in nats per token; intervals are 95 %, bootstrapped by document."
    )
    yield f"<h1>{plain(out.name)}</h1>\n<p>{plain(about)}</p>"
    yield tiles(figures)
    yield from over(limits)


def _methods(methods: Sequence[Method]) -> Iterator[str]:
    if known := [one for one in methods if _is_known(one.summary.kl_mean)]:
        yield f"<h2>What is lost at which size</h2>\n{_picture(known)}"
    heads = ("method", "size", "KL, mean", "median", "p99", "same top")
    rows = [
        (
            method.name,
            mb(method.n_bytes),
            with_spread(found.kl_mean, number),
            number(found.kl_median),
            number(found.kl_p99),
            with_spread(found.same_top, percent),
            with_spread(found.perplexity_ratio, ratio),
            f"{method.speed.decode_tokens_per_s:.0f}" if method.speed else "",
            f"{method.speed.prefill_tokens_per_s:.0f}" if method.speed else "",
        )
        for method in sorted(methods, key=lambda one: one.n_bytes)
        for found in [method.summary]
    ]
    more = ("perplexity ratio", "tokens written a second", "read")
    yield from table("Methods", (*heads, *more), rows)


def _tasks(tasks: Sequence[TaskSummary]) -> Iterator[str]:
    if not tasks:
        return
    one = tasks[0]
    yield f"<h2>In the runtime</h2>\n<p>{plain(_task_told(one))}</p>"
    heads = ("bits kept", "same action", "right", "lost", "gained", "change")
    rows = [
        (
            str(task.kv_bits),
            with_spread(task.agreement, percent),
            percent(task.right),
            str(task.n_lost),
            str(task.n_gained),
            spread(task.change, percent),
            percent(task.valid),
            with_spread(task.decision_kl, number),
        )
        for task in tasks
    ]
    yield from table("", (*heads, "valid answers", "KL of decisions"), rows)


def _task_told(task: TaskSummary) -> str:
    return (
        f"{task.n_items} lines went through the language-model tier alone, with its "
        f"constraint. The source did something for {task.n_acting} of them and was "
        f"right for {percent(task.reference_right)}. The KL of decisions is over the "
        f"tokens that the constraint allowed, at {task.n_decisions} choices."
    )


def _picture(methods: Sequence[Method]) -> str:
    """Returns the size and loss of each method, and the frontier, as SVG."""
    sizes = [method.n_bytes / 1e6 for method in methods]
    kls = [_bounds(method.summary.kl_mean) for method in methods]
    marks = log_marks(min(kl[0] for kl in kls), max(kl[2] for kl in kls))
    x = Axis("megabytes", round_marks(min(sizes), max(sizes)), LEFT, RIGHT)
    y = Axis("mean KL, nats per token", marks, BOTTOM, TOP, log10)
    dots = [(x.at(size), y.at(kl[1])) for size, kl in zip(sizes, kls, strict=True)]
    bars = [(y.at(high), y.at(low)) for low, _, high in kls]
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in dots]
    for (px, _), (top, bottom) in zip(dots, bars, strict=True):
        taken.append((px - 3, top, px + 3, bottom))
    before, best = min(dots)
    line = f"M{before:.1f} {best:.1f}"
    for px, py in sorted(dots):
        reached = max(best, py)  # downwards in the picture
        line += f"H{px:.1f}V{reached:.1f}"
        taken.append((before, best - 1, px, best + 1))
        taken.append((px - 1, best, px + 1, reached))
        before, best = px, reached
    drawn = []
    # What was made has the first choice of a place, and lies over the others.
    for at in sorted(range(len(methods)), key=lambda at: methods[at].name != THIS):
        method, (px, py), (top, bottom) = methods[at], dots[at], bars[at]
        name = _short(method.name)
        taken.append(box := place(px, py, name, taken))
        side, end = ("start", box[0]) if box[0] > px else ("end", box[2])
        kl = with_spread(method.summary.kl_mean, number)
        told = plain(f"{method.name}: {mb(method.n_bytes)}, mean KL {kl}")
        drawn.append(
            f'<g class="{THIS if method.name == THIS else "other"}">'
            f"<title>{told}</title>"
            f'<path class="lead" d="M{px:.1f} {py:.1f}L{end:.1f} {box[1] + 8:.1f}"/>'
            f'<path class="bar" d="M{px:.1f} {top:.1f}V{bottom:.1f}"/>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5"/>'
            f'<text class="{side}" x="{end:.1f}" y="{box[1] + 12:.1f}">'
            f"{plain(name)}</text></g>"
        )
    drawn.append(f'<path class="line" d="{line}"/>')
    return svg("Divergence by size", x, y, "".join(reversed(drawn)))


def _short(name: str) -> str:
    return name if len(name) <= _N_LETTERS else f"{name[: _N_LETTERS - 1]}\u2026"


def _is_known(kl: Interval) -> bool:
    return isfinite(kl.low) and isfinite(kl.mean) and isfinite(kl.high)


def _bounds(kl: Interval) -> tuple[float, float, float]:
    """Returns low, mean and high as an axis of logarithms can show them."""
    return max(_LEAST_KL, kl.low), max(_LEAST_KL, kl.mean), max(_LEAST_KL, kl.high)


def _bits(tensors: Sequence[TensorFacts]) -> Iterator[str]:
    if not tensors:
        return
    inside: dict[str, dict[int, TensorFacts]] = {}
    outside: list[tuple[str, str, str]] = []
    for tensor in tensors:
        if found := _IN_BLOCK.fullmatch(tensor.name):
            inside.setdefault(found[2], {})[int(found[1])] = tensor
        else:
            outside.append((tensor.name, tensor.type, mb(tensor.n_bytes)))
    bits = {tensor.type: _BITS.get(tensor.type, 0.0) for tensor in tensors}
    ranks = sorted(set(bits.values()))
    # In even steps, so that neighbours can be told apart.
    depths = {
        type_: 0.2 + 0.8 * ranks.index(n) / max(1, len(ranks) - 1)
        for type_, n in bits.items()
    }
    yield '<h2>Bits per layer</h2>\n<ul class="legend">'
    for type_ in sorted(bits, key=lambda type_: (bits[type_], type_)):
        sizes = [one.n_bytes for one in tensors if one.type == type_]
        told = f"{len(sizes)} tensor{'s' * (len(sizes) > 1)}, {mb(sum(sizes))}"
        shown = f"{_type(type_)}: {told}"
        yield f'<li><i style="--depth:{depths[type_]:.2f}"></i>{plain(shown)}</li>'
    yield '</ul>\n<div class="beside">'
    blocks = sorted({block for row in inside.values() for block in row})
    if inside:
        heads = "".join(f'<th scope="col">{block}</th>' for block in blocks)
        yield f'<div class="wide"><table class="heat"><tr><th></th>{heads}</tr>'
    for role, row in inside.items():
        yield f'<tr><th scope="row">{plain(role)}</th>'
        for one in (row.get(block) for block in blocks):
            if one is None:
                yield "<td></td>"
                continue
            shown = plain(f"{one.name}: {_type(one.type)}")
            yield f'<td style="--depth:{depths[one.type]:.2f}" title="{shown}"></td>'
        yield "</tr>"
    if inside:
        yield "</table></div>"
    yield from table("", ("outside of blocks", "type", "size"), outside)
    yield "</div>"


def _type(name: str) -> str:
    return f"{name}, {_BITS[name]:.4g} bits" if name in _BITS else name


def _sensitivities(tensors: Sequence[TensorFacts]) -> Iterator[str]:
    probed = [one for one in tensors if isfinite(one.probe_kl) and one.probe_kl > 0]
    probed.sort(key=lambda one: -one.probe_kl)
    rows = [
        (
            one.name,
            one.probe_kl / probed[0].probe_kl,
            number(one.probe_kl),
            one.probe,
            one.type,
            number(one.expected_kl),
            one.why,
        )
        for one in probed[:_N_SENSITIVE]
    ]
    n_shown = f"{len(rows)} of {len(probed)}" if len(rows) < len(probed) else "all"
    heads = ("tensor", "", "KL alone", "in type", "got", "adds", "why")
    yield from table(f"Most sensitive tensors ({n_shown})", heads, rows)


def _positions(kls: Sequence[float]) -> Iterator[str]:
    size = max(1, ceil(len(kls) / _N_WINDOWS))
    means = [
        (first, fmean(known))
        for first in range(0, len(kls), size)
        if (known := [kl for kl in kls[first : first + size] if isfinite(kl)])
    ]
    if not means:
        return
    x = Axis("token", round_marks(0, len(kls)), LEFT, RIGHT)
    marks = round_marks(0, max(mean for _, mean in means))
    y = Axis("mean KL, nats per token", marks, BOTTOM, TOP)
    line = "L".join(f"{x.at(first):.1f} {y.at(mean):.1f}" for first, mean in means)
    told = f", the mean of {size} tokens each" if size > 1 else ""
    yield f"<h2>KL by position{told}</h2>"
    yield svg("Divergence by position", x, y, f'<path class="line" d="M{line}"/>')


def _samples(samples: Sequence[Sample]) -> Iterator[str]:
    if samples:
        yield "<h2>Samples</h2>\n<p>What both write, marked from where they part.</p>"
    for sample in samples:
        letters = zip(sample.reference, sample.quantized, strict=False)
        n_same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))
        yield f'<p class="said">{lines_of(sample.prompt)}</p><div class="pair">'
        for who, said in (("source", sample.reference), (THIS, sample.quantized)):
            same, rest = lines_of(said[:n_same]), lines_of(said[n_same:])
            marked = f"<mark>{rest}</mark>" if rest else ""
            yield (f'<div><small>{who}</small><p class="said">{same}{marked}</p></div>')
        yield "</div>"


def _provenance(report: Report) -> Iterator[str]:
    if report.notes:
        notes = "".join(f"<li>{plain(note)}</li>" for note in report.notes)
        yield f"<h2>Notes</h2>\n<ul>{notes}</ul>"
    texts = [
        (one.use, listed(one.sources), str(one.n_documents), str(one.n_tokens))
        for one in report.texts
    ]
    yield from table("Texts", ("use", "sources", "documents", "tokens"), texts)
    times = [(stage, f"{seconds:.1f} s") for stage, seconds in report.seconds]
    yield from table("How long it took", ("stage", "time"), times)
    hashes = [
        ("source", report.source.sha256),
        ("importance matrix", report.imatrix_sha256 or "none"),
        ("result", report.out.sha256),
        *((f"{one.use} texts", one.sha256) for one in report.texts),
    ]
    yield from table("Hashes", ("of", "sha256"), hashes)
    yield from table("Tools", ("tool", "version"), report.tools)
