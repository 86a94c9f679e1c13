"""What pages of reports are made of.

A page needs nothing but itself: no scripts, no fonts, no connection. Names, texts and
what models wrote are somebody else's, and are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from models.plain import CONTROLS
from quantize.intervals import Interval
from quantize.limits import Limit

THIS = "this"
"""The row, of what was made, that stands out."""
_N_SHORT = 32
"""Letters that a table keeps on one line."""
_N_SOURCES = 6


def page(title: str, parts: Sequence[str]) -> str:
    """Returns a whole page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{plain(title)}</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(parts)}\n</main>\n</body>\n</html>\n"
    )


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Returns large figures: what each is, its value, and what is told of it."""
    return "\n".join(
        [
            '<div class="tiles">',
            *(
                f"<div><b>{plain(value)}</b><span>{plain(what)}</span>"
                f"<small>{plain(told)}</small></div>"
                for what, value, told in figures
            ),
            "</div>",
        ]
    )


def over(limits: Sequence[Limit]) -> Iterator[str]:
    """Yields a line for every limit that was not met."""
    for limit in (one for one in limits if not one.is_met):
        told = f"{exact(limit.found)}, the limit is {exact(limit.limit)}"
        yield f'<p class="over">{plain(f"Not passed: {limit.name} is {told}.")}</p>'


def limits_of(limits: Sequence[Limit]) -> Iterator[str]:
    """Yields the table of what a guard allowed and what was found."""
    rows = [
        (one.name, exact(one.limit), exact(one.found), "yes" if one.is_met else "no")
        for one in limits
    ]
    yield from table("Limits of the guard", ("what", "limit", "found", "met"), rows)


def table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str | float]]
) -> Iterator[str]:
    """Yields a table, where it has rows; a number in it is drawn, as a share."""
    if not rows:
        return
    if title:
        yield f"<h2>{plain(title)}</h2>"
    yield '<div class="wide"><table><tr>'
    yield "".join(f'<th scope="col">{plain(head)}</th>' for head in heads)
    yield "</tr>"
    for row in rows:
        yield '<tr class="this">' if row[0] == THIS else "<tr>"
        for cell in row:
            if isinstance(cell, str):
                kind = ' class="short"' if len(cell) <= _N_SHORT else ""
                yield f"<td{kind}>{plain(cell)}</td>"
            else:
                yield f'<td><i style="width:{9 * cell:.2f}rem"></i></td>'
        yield "</tr>"
    yield "</table></div>"


def mb(n_bytes: int) -> str:
    """Returns a size in megabytes."""
    return f"{n_bytes / 1e6:.1f} MB"


def number(value: float) -> str:
    """Returns three digits of a number."""
    return f"{value:.3g}"


def exact(value: float) -> str:
    """Returns five digits of a number."""
    return f"{value:.5g}"


def ratio(value: float) -> str:
    """Returns a ratio."""
    return f"{value:.3f}"


def percent(share: float) -> str:
    """Returns a share in percent."""
    return f"{100 * share:.1f} %"


def spread(interval: Interval, shown: Callable[[float], str]) -> str:
    """Returns the two ends of an interval."""
    return f"{shown(interval.low)}\u2013{shown(interval.high)}"


def with_spread(interval: Interval, shown: Callable[[float], str]) -> str:
    """Returns a mean with the ends of its interval."""
    return f"{shown(interval.mean)} ({spread(interval, shown)})"


def listed(names: Sequence[str]) -> str:
    """Returns names, the first of many."""
    n_more = len(names) - _N_SOURCES
    more = f" and {n_more} more" if n_more > 0 else ""
    return ", ".join(names[:_N_SOURCES]) + more


def lines_of(text: str) -> str:
    """Returns lines of text that can stand anywhere in a page."""
    return "\n".join(plain(line) for line in text.split("\n"))


def plain(text: str) -> str:
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
