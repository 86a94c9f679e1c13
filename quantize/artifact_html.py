"""The report of a vision, speech or encoder model as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, log10

from quantize.artifact import (
    ArtifactReport,
    Finding,
    NodeFacts,
    Sample,
    Timing,
    Way,
)
from quantize.chart import BOTTOM, LEFT, RIGHT, TOP, Axis, round_marks, svg
from quantize.page import (
    limits_of,
    lines_of,
    listed,
    mb,
    number,
    over,
    page,
    percent,
    plain,
    table,
    tiles,
)

_N_NODES = 40
_N_TILES = 4
_FLOAT = "float"


def as_html(report: ArtifactReport) -> str:
    """Returns the whole page."""
    return page(
        report.out.name,
        [
            *_headline(report),
            *_findings(report.findings),
            *limits_of(report.limits),
            *_ways(report.ways),
            *_timings(report.timings),
            *_nodes(report.nodes),
            *_samples(report.samples),
            *_provenance(report),
        ],
    )


def shown(finding: Finding) -> str:
    """Returns a figure for people, with its interval where it has one."""
    value = _value(finding.value, finding.unit)
    if finding.low is None or finding.high is None:
        return value
    low, high = (_value(end, finding.unit) for end in (finding.low, finding.high))
    return f"{value} ({low}\u2013{high})"


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return percent(value)
    return f"{number(value)} {unit}".strip()


def _headline(report: ArtifactReport) -> Iterator[str]:
    source, out, limits = report.source, report.out, report.limits
    share = percent(out.n_bytes / max(1, source.n_bytes))
    figures = [("size", mb(out.n_bytes), f"{share} of {mb(source.n_bytes)}")]
    figures += [
        (one.name.replace("_", " "), _value(one.value, one.unit), one.told)
        for one in report.findings[:_N_TILES]
    ]
    if report.timings:
        worst = max(report.timings, key=lambda one: one.ratio)
        told = f"of the source's, {worst.threads} threads"
        figures.append(("time", f"{worst.ratio:.2f}", told))
    if limits:
        n_met = f"{sum(one.is_met for one in limits)} of {len(limits)} limits met"
        figures.append(("guard", "passed" if report.is_passed else "not passed", n_met))
    about = (
        f"Made from {source.name} (licence: {report.licence or 'unknown'}): "
        f"{report.method}. Intervals are 95 %, bootstrapped."
    )
    yield f"<h1>{plain(out.name)}</h1>\n<p>{plain(about)}</p>"
    yield tiles(figures)
    yield from over(limits)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    rows = [
        (
            one.name.replace("_", " "),
            shown(one),
            str(one.n) if one.n else "",
            one.told,
        )
        for one in findings
    ]
    yield from table("What was measured", ("what", "found", "of", ""), rows)


def _ways(ways: Sequence[Way]) -> Iterator[str]:
    names = list(dict.fromkeys(one.name for way in ways for one in way.findings))
    rows = []
    for way in ways:
        found = {one.name: shown(one) for one in way.findings}
        figures = [found.get(name, "") for name in names]
        rows.append((way.name, mb(way.n_bytes), *figures, way.told))
    heads = ("way", "size", *(name.replace("_", " ") for name in names), "")
    yield from table("Ways that were tried", heads, rows)


def _timings(timings: Sequence[Timing]) -> Iterator[str]:
    rows = [
        (
            str(one.threads),
            f"{one.median_ms:.2f} ms",
            f"{one.p95_ms:.2f} ms",
            f"{one.reference_median_ms:.2f} ms",
            f"{one.reference_p95_ms:.2f} ms",
            f"{one.ratio:.2f}",
        )
        for one in timings
    ]
    heads = ("threads", "median", "p95", "source, median", "p95", "ratio")
    yield from table("Time, by turns with the source", heads, rows)


def _nodes(nodes: Sequence[NodeFacts]) -> Iterator[str]:
    if not nodes:
        return
    ratios = [
        (at, one.sqnr_db)
        for at, one in enumerate(nodes)
        if one.sqnr_db is not None and isfinite(one.sqnr_db)
    ]
    if len(ratios) > 1:
        yield "<h2>Signal by quantization noise, node by node</h2>"
        yield _noise(ratios)
    lossy = [one for one in nodes if one.loss is not None or one.type == _FLOAT]
    lossy.sort(key=lambda one: -(one.loss or 0.0))
    most = max((one.loss or 0.0 for one in lossy), default=0.0) or 1.0
    rows = [
        (
            one.name,
            one.op,
            one.type,
            percent(one.share),
            (one.loss or 0.0) / most,
            "" if not one.loss else f"{-10 * log10(one.loss):.1f} dB",
            "" if one.sqnr_db is None else f"{one.sqnr_db:.1f} dB",
            one.why,
        )
        for one in lossy[:_N_NODES]
    ]
    n_shown = f"{len(rows)} of {len(nodes)}" if len(rows) < len(nodes) else "all"
    heads = ("node", "op", "type", "multiply-adds", "", "alone", "together", "why")
    yield from table(f"Most sensitive nodes ({n_shown})", heads, rows)


def _noise(ratios: Sequence[tuple[int, float]]) -> str:
    values = [value for _, value in ratios]
    x = Axis("node, in order", round_marks(0, ratios[-1][0]), LEFT, RIGHT)
    y = Axis("dB", round_marks(min(values), max(values)), BOTTOM, TOP)
    line = "L".join(f"{x.at(at):.1f} {y.at(value):.1f}" for at, value in ratios)
    return svg("Noise by node", x, y, f'<path class="line" d="M{line}"/>')


def _samples(samples: Sequence[Sample]) -> Iterator[str]:
    rows = [
        (one.input, one.reference, one.quantized)
        for one in samples
        if one.reference != one.quantized
    ]
    yield from table("Where both differ", ("input", "source", "this"), rows)
    if samples and not rows:
        yield f"<p>{len(samples)} samples were looked at: all the same.</p>"


def _provenance(report: ArtifactReport) -> Iterator[str]:
    if report.notes:
        notes = "".join(f"<li>{lines_of(note)}</li>" for note in report.notes)
        yield f"<h2>Notes</h2>\n<ul>{notes}</ul>"
    inputs = [(one.use, listed(one.sources), str(one.n)) for one in report.inputs]
    yield from table("Inputs", ("use", "sources", "how many"), inputs)
    times = [(stage, f"{seconds:.1f} s") for stage, seconds in report.seconds]
    yield from table("How long it took", ("stage", "time"), times)
    hashes = [
        ("source", report.source.sha256),
        ("result", report.out.sha256),
        *((one.use, one.sha256) for one in report.inputs),
    ]
    yield from table("Hashes", ("of", "sha256"), hashes)
    yield from table("Tools", ("tool", "version"), report.tools)
