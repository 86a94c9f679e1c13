"""An evaluation as one HTML page.

The page needs nothing but itself: no scripts, no fonts, no connection. Everything in it
that was said or labelled is somebody else's text, and is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from edge.evaluation.score import (
    CLARIFY,
    NONE,
    Latency,
    Level,
    Score,
    Share,
)
from edge.evaluation.summary import (
    About,
    condition_text,
    got_text,
    interval_text,
    percent,
    wanted_text,
)
from models.plain import CONTROLS


def as_html(score: Score, about: About) -> str:
    """Returns the whole page."""
    title = f"How well {about.pack} is understood"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="about">{_text(_opening(score, about))}</p>',
        *_tiles(score),
        *_accuracy(score),
        *_kinds(score),
        *_confusion(score),
        *_tiers_and_times(score),
        *_failures(score),
        *_provenance(about),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(parts)}\n</main>\n</body>\n</html>\n"
    )


def _opening(score: Score, about: About) -> str:
    n_commands, n_silent = score.clean.commands.n, score.clean.accepted.n
    told = f"{about.source}: {n_commands} with a command, {n_silent} without."
    return (
        f"{told} A command is right when its intents and every slot are exactly as "
        "labelled. Intervals are 95 % (Wilson)."
    )


def _tiles(score: Score) -> Iterator[str]:
    clean = score.clean
    tiles = [("exact, clean", percent(clean.commands.exact), _n(clean.commands))]
    if score.noise:
        n = len(score.noise)
        told = f"mean of {n} levels" if n > 1 else "one level"
        tiles.append(("exact, in noise", percent(score.noise_mean), told))
    if clean.accepted.n:
        accepted = percent(clean.accepted.exact)
        tiles.append(("acted on without a command", accepted, _n(clean.accepted)))
    if score.errors:
        tiles.append(("could not be evaluated", str(len(score.errors)), "see below"))
    yield '<div class="tiles">'
    for what, value, told in tiles:
        yield (
            f"<div><b>{_text(value)}</b><span>{_text(what)}</span>"
            f"<small>{_text(told)}</small></div>"
        )
    yield "</div>"


def _n(share: Share) -> str:
    return f"{share.n_right} of {share.n}"


def _accuracy(score: Score) -> Iterator[str]:
    yield "<h2>Exact by condition</h2>"
    known = [level for level in score.levels if level.commands.n]
    if len(known) > 1:
        yield _plot(known)
    yield from _table(
        ("condition", "exact", "95 %", "right", "acted on without a command"),
        [
            (
                condition_text(level.condition),
                percent(level.commands.exact),
                interval_text(level.commands),
                _n(level.commands),
                _n(level.accepted) if level.accepted.n else "\u2013",
            )
            for level in score.levels
        ],
    )


_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 40


def _plot(levels: Sequence[Level]) -> str:
    """Returns the shares with their intervals as SVG, the axis cut where none is."""
    shares = [level.commands for level in levels]
    lowest = min(share.interval[0] for share in shares if share.interval)
    floor = max(0, int(lowest * 10) * 10)  # percent
    step = 10 if floor < 60 else 5

    def y(share: float) -> float:
        up = (100 * share - floor) / (100 - floor)
        return _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    def x(at: int) -> float:
        return _LEFT + (at + 0.5) * (_WIDTH - _LEFT - _RIGHT) / len(shares)

    drawn = []
    for mark in range(floor, 101, step):
        at = y(mark / 100)
        drawn.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
            f'y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{mark} %</text>'
        )
    points = [(x(at), y(share.exact or 0)) for at, share in enumerate(shares)]
    # Clean is no point on the scale of SNRs: the line begins after it.
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points[1:])
    drawn.append(f'<polyline class="line" points="{line}"/>')
    for level, share, (px, py) in zip(levels, shares, points, strict=True):
        low, high = share.interval or (0, 0)
        name = _text(condition_text(level.condition))
        told = f"{name}: {percent(share.exact)} ({interval_text(share)})"
        drawn.append(
            f"<g><title>{told}</title>"
            f'<path class="bar" d="M{px:.1f} {y(low):.1f}V{y(high):.1f}'
            f"M{px - 6:.1f} {y(low):.1f}h12M{px - 6:.1f} {y(high):.1f}h12"
            f'"/><circle cx="{px:.1f}" cy="{py:.1f}" r="4.5"/></g>'
            f'<text x="{px:.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{name}</text>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-label="Share of commands that are exactly right, by condition">'
        f"{''.join(drawn)}</svg>"
    )


def _kinds(score: Score) -> Iterator[str]:
    if not score.kinds:
        return
    yield "<h2>By kind</h2>"
    yield from _table(
        ("kind", "right", "95 %", "lines"),
        [
            (kind, percent(share.exact), interval_text(share), _n(share))
            for kind, share in score.kinds.items()
        ],
    )


def _confusion(score: Score) -> Iterator[str]:
    if not score.confusion:
        return
    named = {name for row in score.confusion.values() for name in row}
    names = sorted(named | score.confusion.keys())
    # What is no intent stands last.
    names.sort(key=lambda name: (name in {CLARIFY, NONE}, name))
    golds = sorted(score.confusion, key=lambda name: (name in {CLARIFY, NONE}, name))
    yield "<h2>What became of each intent</h2>"
    yield (
        "<p>Without noise; by intent, whatever its slots. A row is what was wanted, "
        "a column what came; a stronger colour is a larger share of the row.</p>"
    )
    yield '<div class="wide"><table class="heat"><thead><tr><th></th>'
    for name in names:
        yield f'<th scope="col"><span>{_text(name)}</span></th>'
    yield "</tr></thead><tbody>"
    for gold in golds:
        row = score.confusion[gold]
        n = sum(row.values())
        yield f'<tr><th scope="row">{_text(gold)}</th>'
        for name in names:
            share = row.get(name, 0) / n
            kind = "hit" if name == gold else "miss"
            shown = str(row[name]) if name in row else ""
            # Light enough for the number to be read in either colour scheme.
            depth = 0.12 + 0.5 * share if share else 0.0
            yield f'<td class="{kind}" style="--depth:{depth:.2f}">{shown}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _tiers_and_times(score: Score) -> Iterator[str]:
    if score.tiers:
        yield "<h2>Who decided on commands</h2>"
        rows = [(tier, percent(share)) for tier, share in score.tiers.items()]
        yield from _table(("tier", "share"), rows)
    times = [("speech to text", score.asr), ("text to intents", score.intent)]
    known = [
        (what, _ms(latency.p50), _ms(latency.p95)) for what, latency in _known(times)
    ]
    if known:
        yield "<h2>How long it took</h2>"
        yield from _table(("stage", "median", "95 % within"), known)


def _known(
    times: Iterable[tuple[str, Latency | None]],
) -> Iterator[tuple[str, Latency]]:
    for what, latency in times:
        if latency is not None:
            yield what, latency


def _ms(value: float) -> str:
    return f"{value:.1f} ms"


def _failures(score: Score) -> Iterator[str]:
    yield f"<h2>Not right ({len(score.failures)})</h2>"
    if not score.failures:
        yield "<p>Everything is as labelled.</p>"
        return
    yield from _table(
        ("item", "condition", "heard", "wanted", "came"),
        [
            (
                failure.answer.id,
                condition_text(failure.answer.condition),
                failure.answer.heard,
                wanted_text(failure.wanted),
                got_text(failure.answer),
            )
            for failure in score.failures
        ],
    )


def _provenance(about: About) -> Iterator[str]:
    yield "<h2>To do it again</h2>"
    rows = [("seed", str(about.seed)), ("files, sha256", about.files_sha256)]
    if about.noise_sha256:
        rows.append(("noise, sha256", about.noise_sha256))
    yield from _table(
        ("what", "value"), [*rows, *about.options.items(), *about.versions.items()]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f'<th scope="col">{_text(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


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
.tiles{display:flex;flex-wrap:wrap;gap:.75rem 2.5rem;margin:1.25rem 0}
.tiles div{display:flex;flex-direction:column}
.tiles b{font-size:2rem;line-height:1.15;font-variant-numeric:tabular-nums}
.tiles small,small{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;
border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:600}
tr{break-inside:avoid}
.heat{overflow-wrap:normal}
.heat td{padding:.3rem;min-width:1.75rem;text-align:center;border:1px solid var(--rule)}
.heat thead th{vertical-align:bottom;padding:.3rem;border:0}
.heat thead span{writing-mode:vertical-rl;transform:rotate(180deg)}
.heat tbody th{position:sticky;left:0;background:var(--page)}
.heat .hit{background:rgba(var(--hit),var(--depth))}
.heat .miss{background:rgba(var(--miss),var(--depth))}
svg{display:block;width:100%;max-width:44rem;margin:.5rem 0 1rem;break-inside:avoid}
svg text{font-size:12px;fill:var(--soft)}
.grid{stroke:var(--rule)}
.line{fill:none;stroke:rgb(var(--hit));stroke-width:2;opacity:.5}
.bar{fill:none;stroke:rgb(var(--hit));stroke-width:2}
circle{fill:rgb(var(--hit))}
@media print{:root{--ink:#000;--soft:#444;--page:#fff;--rule:#bbb;--hit:38,110,180;
--miss:200,70,40;color-scheme:light}body{font-size:10pt}main{max-width:none;padding:0}
.wide{overflow:visible}.heat{font-size:6pt}
.heat td,.heat thead th{padding:1px;min-width:0}.heat td{print-color-adjust:exact;
-webkit-print-color-adjust:exact}thead{display:table-header-group}}
"""
