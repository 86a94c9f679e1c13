"""A report as one HTML page.

The page needs nothing but itself: no scripts, no fonts, no connection. Names, texts and
what models wrote are somebody else's, and are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from math import ceil, floor, isfinite, log10
from statistics import fmean

from models.plain import CONTROLS
from quantize.divergence import Interval
from quantize.gguf import TYPES
from quantize.report import Method, Report, Sample, TensorFacts
from quantize.task import TaskSummary

_THIS = "this"
"""The method that was made."""
_N_SENSITIVE = 30
_N_SOURCES = 6
_N_WINDOWS = 160
"""Of positions, each drawn as its mean."""
_N_SHORT = 32
"""Letters that a table keeps on one line."""
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
        *_limits(report),
        *_bits(report.tensors),
        *_sensitivities(report.tensors),
        *_positions(report.kl_by_position),
        *_tasks(report.tasks),
        *_samples(report.samples),
        *_provenance(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(report.out.name)}</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(parts)}\n</main>\n</body>\n</html>\n"
    )


def _headline(report: Report) -> Iterator[str]:
    source, out, limits = report.source, report.out, report.limits
    share = _percent(out.n_bytes / max(1, source.n_bytes))
    bits = f"{source.bits_per_weight:.2f} in the source"
    tiles = [
        ("size", _mb(out.n_bytes), f"{share} of {_mb(source.n_bytes)}"),
        ("bits per weight", f"{out.bits_per_weight:.2f}", bits),
    ]
    for found in (one.summary for one in report.methods if one.name == _THIS):
        kl, same = found.kl_mean, found.same_top
        tiles += [
            ("mean KL", _number(kl.mean), _range(kl, _number)),
            ("same top word", _percent(same.mean), _range(same, _percent)),
        ]
    if out.fast_share is not None:
        share = _percent(out.fast_share)
        tiles.append(("on fast ARM kernels", share, "of its multiply-adds"))
    if limits:
        n_met = f"{sum(one.is_met for one in limits)} of {len(limits)} limits met"
        tiles.append(("guard", "passed" if report.is_passed else "not passed", n_met))
    about = (
        f"Made from {source.name} ({report.architecture}, licence: "
        f"{report.licence or 'unknown'}) by {report.method}. KL is the divergence from "
        "the source in nats per token; intervals are 95 %, bootstrapped by document."
    )
    yield f"<h1>{_text(out.name)}</h1>\n<p>{_text(about)}</p>"
    yield '<div class="tiles">'
    for what, value, told in tiles:
        yield (
            f"<div><b>{_text(value)}</b><span>{_text(what)}</span>"
            f"<small>{_text(told)}</small></div>"
        )
    yield "</div>"
    for limit in (one for one in limits if not one.is_met):
        told = f"{_exact(limit.found)}, the limit is {_exact(limit.limit)}"
        yield f'<p class="over">{_text(f"Not passed: {limit.name} is {told}.")}</p>'


def _methods(methods: Sequence[Method]) -> Iterator[str]:
    if known := [one for one in methods if _is_known(one.summary.kl_mean)]:
        yield f"<h2>What is lost at which size</h2>\n{_picture(known)}"
    heads = ("method", "size", "KL, mean", "median", "p99", "same top")
    rows = [
        (
            method.name,
            _mb(method.n_bytes),
            _told(found.kl_mean, _number),
            _number(found.kl_median),
            _number(found.kl_p99),
            _told(found.same_top, _percent),
            _told(found.perplexity_ratio, _ratio),
            f"{method.speed.decode_tokens_per_s:.0f}" if method.speed else "",
            f"{method.speed.prefill_tokens_per_s:.0f}" if method.speed else "",
        )
        for method in sorted(methods, key=lambda one: one.n_bytes)
        for found in [method.summary]
    ]
    more = ("perplexity ratio", "tokens written a second", "read")
    yield from _table("Methods", (*heads, *more), rows)


def _tasks(tasks: Sequence[TaskSummary]) -> Iterator[str]:
    if not tasks:
        return
    one = tasks[0]
    yield f"<h2>In the runtime</h2>\n<p>{_text(_task_told(one))}</p>"
    heads = ("bits kept", "same action", "right", "lost", "gained", "change")
    rows = [
        (
            str(task.kv_bits),
            _told(task.agreement, _percent),
            _percent(task.right),
            str(task.n_lost),
            str(task.n_gained),
            _range(task.change, _percent),
            _percent(task.valid),
            _told(task.decision_kl, _number),
        )
        for task in tasks
    ]
    yield from _table("", (*heads, "valid answers", "KL of decisions"), rows)


def _task_told(task: TaskSummary) -> str:
    return (
        f"{task.n_items} lines went through the language-model tier alone, with its "
        f"constraint. The source did something for {task.n_acting} of them and was "
        f"right for {_percent(task.reference_right)}. The KL of decisions is over the "
        f"tokens that the constraint allowed, at {task.n_decisions} choices."
    )


def _limits(report: Report) -> Iterator[str]:
    rows = [
        (
            one.name,
            _exact(one.limit),
            _exact(one.found),
            "yes" if one.is_met else "no",
        )
        for one in report.limits
    ]
    yield from _table("Limits of the guard", ("what", "limit", "found", "met"), rows)


_WIDTH, _HEIGHT = 704, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 688, 16, 296
"""Of the frame."""
_Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis, and where its first and last mark stand in the picture."""

    name: str
    marks: Sequence[float]
    start: float
    end: float
    measure: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Returns where a value stands."""
        first, last = self.measure(self.marks[0]), self.measure(self.marks[-1])
        share = (self.measure(value) - first) / (last - first)
        return self.start + share * (self.end - self.start)


def _marks(low: float, high: float) -> list[float]:
    """Returns round numbers, both lying between the first and the last."""
    span = max(high - low, abs(high) / 100) or 1.0
    unit = 10.0 ** floor(log10(span / 4))
    step = next(unit * n for n in (1, 2, 5, 10) if span <= 6 * unit * n)
    first = floor(low / step)
    return [step * n for n in range(first, max(first + 1, ceil(high / step)) + 1)]


def _log_marks(low: float, high: float) -> list[float]:
    """Returns the same for an axis of logarithms."""
    digits = (1, 2, 5) if high < 1000 * low else (1,)
    powers = range(floor(log10(low)), ceil(log10(high)) + 2)
    every = [float(f"{digit}e{power}") for power in powers for digit in digits]
    first = max(mark for mark in every if mark <= low)
    last = min(mark for mark in every if mark >= high and mark > first)
    return [mark for mark in every if first <= mark <= last]


def _picture(methods: Sequence[Method]) -> str:
    """Returns the size and loss of each method, and the frontier, as SVG."""
    sizes = [method.n_bytes / 1e6 for method in methods]
    kls = [_bounds(method.summary.kl_mean) for method in methods]
    marks = _log_marks(min(kl[0] for kl in kls), max(kl[2] for kl in kls))
    x = _Axis("megabytes", _marks(min(sizes), max(sizes)), _LEFT, _RIGHT)
    y = _Axis("mean KL, nats per token", marks, _BOTTOM, _TOP, log10)
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
    for at in sorted(range(len(methods)), key=lambda at: methods[at].name != _THIS):
        method, (px, py), (top, bottom) = methods[at], dots[at], bars[at]
        name = _short(method.name)
        taken.append(box := _place(px, py, name, taken))
        side, end = ("start", box[0]) if box[0] > px else ("end", box[2])
        kl = _told(method.summary.kl_mean, _number)
        told = _text(f"{method.name}: {_mb(method.n_bytes)}, mean KL {kl}")
        drawn.append(
            f'<g class="{_THIS if method.name == _THIS else "other"}">'
            f"<title>{told}</title>"
            f'<path class="lead" d="M{px:.1f} {py:.1f}L{end:.1f} {box[1] + 8:.1f}"/>'
            f'<path class="bar" d="M{px:.1f} {top:.1f}V{bottom:.1f}"/>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5"/>'
            f'<text class="{side}" x="{end:.1f}" y="{box[1] + 12:.1f}">'
            f"{_text(name)}</text></g>"
        )
    drawn.append(f'<path class="line" d="{line}"/>')
    return _svg("Divergence by size", x, y, "".join(reversed(drawn)))


def _is_known(kl: Interval) -> bool:
    return isfinite(kl.low) and isfinite(kl.mean) and isfinite(kl.high)


def _bounds(kl: Interval) -> tuple[float, float, float]:
    """Returns low, mean and high as an axis of logarithms can show them."""
    return max(_LEAST_KL, kl.low), max(_LEAST_KL, kl.mean), max(_LEAST_KL, kl.high)


def _place(px: float, py: float, name: str, taken: Sequence[_Box]) -> _Box:
    """Returns where a label stands: nearest to its dot, and on nothing else."""
    width = 4.0 + sum(7.5 if letter.isascii() else 13 for letter in name)
    places = [
        (left, middle - 8, left + width, middle + 8)
        for middle in sorted(range(8, _BOTTOM - 8, 4), key=lambda at: abs(at - py))
        for left in (px + 9, px - 9 - width)
        if _LEFT <= left <= _RIGHT - width
    ]
    for place in places:
        left, top, right, bottom = place
        if all(
            right <= other[0]
            or left >= other[2]
            or bottom <= other[1]
            or top >= other[3]
            for other in taken
        ):
            return place
    return places[0]


def _svg(told: str, x: _Axis, y: _Axis, drawn: str) -> str:
    """Returns a picture in the frame of its axes."""
    grid = [
        f'<path class="grid" d="M{_LEFT} {y.at(mark):.1f}H{_RIGHT}"/>'
        f'<text class="end" x="{_LEFT - 8}" y="{y.at(mark) + 4:.1f}">{mark:g}</text>'
        for mark in y.marks
    ]
    grid += [
        f'<path class="grid" d="M{x.at(mark):.1f} {_BOTTOM}v5"/>'
        f'<text class="middle" x="{x.at(mark):.1f}" y="{_BOTTOM + 19}">{mark:g}</text>'
        for mark in x.marks
    ]
    return (
        f'<small>{y.name}</small><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{told}">{"".join(grid)}<text class="end" x="{_RIGHT}" '
        f'y="{_HEIGHT - 6}">{x.name}</text>{drawn}</svg>'
    )


def _bits(tensors: Sequence[TensorFacts]) -> Iterator[str]:
    if not tensors:
        return
    inside: dict[str, dict[int, TensorFacts]] = {}
    outside: list[tuple[str, str, str]] = []
    for tensor in tensors:
        if found := _IN_BLOCK.fullmatch(tensor.name):
            inside.setdefault(found[2], {})[int(found[1])] = tensor
        else:
            outside.append((tensor.name, tensor.type, _mb(tensor.n_bytes)))
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
        told = f"{len(sizes)} tensor{'s' * (len(sizes) > 1)}, {_mb(sum(sizes))}"
        shown = f"{_type(type_)}: {told}"
        yield f'<li><i style="--depth:{depths[type_]:.2f}"></i>{_text(shown)}</li>'
    yield '</ul>\n<div class="beside">'
    blocks = sorted({block for row in inside.values() for block in row})
    if inside:
        heads = "".join(f'<th scope="col">{block}</th>' for block in blocks)
        yield f'<div class="wide"><table class="heat"><tr><th></th>{heads}</tr>'
    for role, row in inside.items():
        yield f'<tr><th scope="row">{_text(role)}</th>'
        for one in (row.get(block) for block in blocks):
            if one is None:
                yield "<td></td>"
                continue
            shown = _text(f"{one.name}: {_type(one.type)}")
            yield f'<td style="--depth:{depths[one.type]:.2f}" title="{shown}"></td>'
        yield "</tr>"
    if inside:
        yield "</table></div>"
    yield from _table("", ("outside of blocks", "type", "size"), outside)
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
            _number(one.probe_kl),
            one.probe,
            one.type,
            _number(one.expected_kl),
            one.why,
        )
        for one in probed[:_N_SENSITIVE]
    ]
    n_shown = f"{len(rows)} of {len(probed)}" if len(rows) < len(probed) else "all"
    heads = ("tensor", "", "KL alone", "in type", "got", "adds", "why")
    yield from _table(f"Most sensitive tensors ({n_shown})", heads, rows)


def _positions(kls: Sequence[float]) -> Iterator[str]:
    size = max(1, ceil(len(kls) / _N_WINDOWS))
    means = [
        (first, fmean(known))
        for first in range(0, len(kls), size)
        if (known := [kl for kl in kls[first : first + size] if isfinite(kl)])
    ]
    if not means:
        return
    x = _Axis("token", _marks(0, len(kls)), _LEFT, _RIGHT)
    marks = _marks(0, max(mean for _, mean in means))
    y = _Axis("mean KL, nats per token", marks, _BOTTOM, _TOP)
    line = "L".join(f"{x.at(first):.1f} {y.at(mean):.1f}" for first, mean in means)
    told = f", the mean of {size} tokens each" if size > 1 else ""
    yield f"<h2>KL by position{told}</h2>"
    yield _svg("Divergence by position", x, y, f'<path class="line" d="M{line}"/>')


def _samples(samples: Sequence[Sample]) -> Iterator[str]:
    if samples:
        yield "<h2>Samples</h2>\n<p>What both write, marked from where they part.</p>"
    for sample in samples:
        letters = zip(sample.reference, sample.quantized, strict=False)
        n_same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))
        yield f'<p class="said">{_lines(sample.prompt)}</p><div class="pair">'
        for who, said in (("source", sample.reference), (_THIS, sample.quantized)):
            same, rest = _lines(said[:n_same]), _lines(said[n_same:])
            marked = f"<mark>{rest}</mark>" if rest else ""
            yield (f'<div><small>{who}</small><p class="said">{same}{marked}</p></div>')
        yield "</div>"


def _provenance(report: Report) -> Iterator[str]:
    if report.notes:
        notes = "".join(f"<li>{_text(note)}</li>" for note in report.notes)
        yield f"<h2>Notes</h2>\n<ul>{notes}</ul>"
    texts = [
        (one.use, _listed(one.sources), str(one.n_documents), str(one.n_tokens))
        for one in report.texts
    ]
    yield from _table("Texts", ("use", "sources", "documents", "tokens"), texts)
    times = [(stage, f"{seconds:.1f} s") for stage, seconds in report.seconds]
    yield from _table("How long it took", ("stage", "time"), times)
    hashes = [
        ("source", report.source.sha256),
        ("importance matrix", report.imatrix_sha256 or "none"),
        ("result", report.out.sha256),
        *((f"{one.use} texts", one.sha256) for one in report.texts),
    ]
    yield from _table("Hashes", ("of", "sha256"), hashes)
    yield from _table("Tools", ("tool", "version"), report.tools)


def _listed(names: Sequence[str]) -> str:
    n_more = len(names) - _N_SOURCES
    more = f" and {n_more} more" if n_more > 0 else ""
    return ", ".join(names[:_N_SOURCES]) + more


def _table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str | float]]
) -> Iterator[str]:
    """Yields a table, where it has rows; a number in it is drawn, as a share."""
    if not rows:
        return
    if title:
        yield f"<h2>{_text(title)}</h2>"
    yield '<div class="wide"><table><tr>'
    yield "".join(f'<th scope="col">{_text(head)}</th>' for head in heads)
    yield "</tr>"
    for row in rows:
        yield '<tr class="this">' if row[0] == _THIS else "<tr>"
        for cell in row:
            if isinstance(cell, str):
                kind = ' class="short"' if len(cell) <= _N_SHORT else ""
                yield f"<td{kind}>{_text(cell)}</td>"
            else:
                yield f'<td><i style="width:{9 * cell:.2f}rem"></i></td>'
        yield "</tr>"
    yield "</table></div>"


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _exact(value: float) -> str:
    return f"{value:.5g}"


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(interval: Interval, shown: Callable[[float], str]) -> str:
    return f"{shown(interval.low)}\u2013{shown(interval.high)}"


def _told(interval: Interval, shown: Callable[[float], str]) -> str:
    return f"{shown(interval.mean)} ({_range(interval, shown)})"


def _short(name: str) -> str:
    return name if len(name) <= _N_LETTERS else f"{name[: _N_LETTERS - 1]}\u2026"


def _lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.split("\n"))


def _text(text: str) -> str:
    """Returns text that can stand anywhere in the page."""
    whole = text.encode(errors="replace").decode()
    return escape(whole.translate(CONTROLS), quote=True)


_CSS = """
:root{--ink:#1c2430;--soft:#5b6675;--page:#fff;--rule:#d9dee5;--hit:38,110,180;
--miss:200,70,40;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--page:#14181f;
--rule:#313a46;--hit:96,165,235;--miss:240,125,90}}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:60rem;margin:auto;padding:2rem 1.25rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:2.25rem 0 .5rem;break-after:avoid}
p{max-width:44rem;color:var(--soft);margin:.25rem 0 .75rem}
.over{color:rgb(var(--miss));font-weight:600}
.tiles{display:flex;flex-wrap:wrap;gap:.75rem 1.5rem;margin:1.25rem 0}
.tiles div{display:flex;flex-direction:column}
.tiles b{font-size:1.6rem;line-height:1.15;font-variant-numeric:tabular-nums}
small{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;
border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:600;overflow-wrap:normal}
tr{break-inside:avoid}
.this td{font-weight:600}
.short{white-space:nowrap}
td i{display:block;height:.9rem;margin-top:.25rem;background:rgb(var(--hit))}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:0 0 .75rem;padding:0;
list-style:none;font-size:.9rem}
.legend i{display:inline-block;width:.9rem;height:.9rem;margin-right:.4rem}
.legend i,.heat td[title]{background:rgba(var(--hit),var(--depth))}
.beside{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}
.beside .wide{max-width:100%}
.heat th,.heat td{padding:0;border:2px solid var(--page);font-size:.75rem}
.heat td{min-width:1rem;height:1rem}
.heat th{text-align:center;font-weight:400}
.heat th:first-child{text-align:left;padding-right:.5rem;min-width:5rem;
overflow-wrap:anywhere;position:sticky;left:0;background:var(--page)}
.said{color:inherit;white-space:pre-wrap}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem;margin:0 0 1.5rem;
padding-left:1rem;border-left:2px solid var(--rule);font-size:.9rem}
mark{color:inherit;background:rgba(var(--miss),.2)}
svg{display:block;width:100%;max-width:44rem;margin:.5rem 0 1rem;break-inside:avoid}
svg text{font-size:12px;fill:var(--soft)}
.end{text-anchor:end}
.middle{text-anchor:middle}
svg g text{fill:var(--ink);paint-order:stroke;stroke:var(--page);stroke-width:3px}
.grid{stroke:var(--rule)}
.line{fill:none;stroke:rgb(var(--hit));stroke-width:2;opacity:.5}
.lead{stroke:var(--soft);opacity:.5}
.bar{fill:none;stroke:rgb(var(--hit));stroke-width:2}
circle{fill:rgb(var(--hit))}
.this .bar{stroke:rgb(var(--miss))}
.this circle{fill:rgb(var(--miss))}
.this text{font-weight:700}
@media print{:root{--ink:#000;--soft:#444;--page:#fff;--rule:#bbb;--hit:38,110,180;
--miss:200,70,40;color-scheme:light}body{font-size:10pt}main{max-width:none;padding:0}
.wide{overflow:visible}i,mark,.heat td{print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""
