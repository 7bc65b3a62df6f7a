"""Draw what an index costs: recall against time, a curve a kind; as a page with the table, or the drawing alone.

In: `IndexReport`. Out: HTML or SVG, without a script and without anything from the network. A step up the axis of
recall halves, about, what is missed, so that .95 and .99 do not lie on one another; time is logarithmic too.
"""

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

from recengine.errors import BadUsage
from recengine.jobs import standalone
from recengine.jobs.index_report import IndexReport, Point

__all__ = ("ENDINGS", "drawing", "page", "said", "write")

ENDINGS = (".html", ".svg")
WIDE, HIGH = 640, 330
"""Of the plot, user units."""
GRID = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
MISSED = 0.0025
"""Of recall: less is drawn as 1."""

_CURVES = """
.grid { stroke: var(--rule) } .bar { stroke: var(--soft); stroke-dasharray: 4 3 }
.exact { --kind: var(--good) } .int8 { --kind: var(--mark) } .hnsw { --kind: var(--gap) } .pq { --kind: var(--plum) }
.line { fill: none; stroke: var(--kind); stroke-width: 1.5 }
.dot { fill: var(--kind); fill-opacity: .75 } .ring { fill: none; stroke: var(--ink); stroke-width: 1.5 }
svg text.name { fill: var(--kind); font-weight: 600 }
"""
_PAGE = "svg.curve { display: block; width: 100%; height: auto; margin: 1rem 0 } tr.live { font-weight: 600 }"
_ALONE = """
svg { background: var(--paper) } svg text { fill: var(--soft); font: 10px system-ui, sans-serif }
svg .end { text-anchor: end } svg .mid { text-anchor: middle }
"""


def write(report: IndexReport, target: Path) -> None:
    """Write the page or the drawing, as the ending of `target` says; it appears only when it is complete.

    Raises
    ------
    BadUsage : the ending is neither .html nor .svg.
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    if target.suffix not in ENDINGS:
        raise BadUsage(f"{target.name}: expected a name that ends in {' or '.join(ENDINGS)}, got {target.suffix!r}")
    standalone.write(page(report) if target.suffix == ".html" else drawing(report, alone=True), target)


def page(report: IndexReport) -> str:
    """Render the page: what answers now, the curves, and every point in numbers."""
    return standalone.document(
        f"Index of {report.version}",
        _CURVES + _PAGE,
        [
            f"<p class=soft>{report.items:,} items of {report.factors} factors ({escape(report.model)}), asked by ",
            f"{report.users:,} users one at a time on one thread, the best {report.at}. ",
            f"{escape(said(report))}.</p>",
            "<p class=soft>To the left is faster, up is more complete. The dashed line is what <code>index.recall",
            "</code> wants, a ring marks what answers now, and the area of a point is its memory.</p>",
            drawing(report),
            *_table(report),
        ],
    )


def said(report: IndexReport) -> str:
    """Say in a sentence what answers now and what would be fastest."""
    live = "The model scans all items itself" if report.live == "scan" else f"{report.live} answers now"
    best = report.fastest
    if best is None:
        return f"{live}; nothing reaches a recall of {report.wanted:g}"
    effort = "" if best.effort is None else f" at effort {best.effort}"
    return f"{live}; {best.kind}{effort} is the fastest of recall {report.wanted:g}: {best.ms:.3f} ms"


def drawing(report: IndexReport, *, alone: bool = False) -> str:
    """Draw the curves; `alone` brings its own colours, for a file of its own."""
    points = report.points
    left, right = _span([point.ms for point in points])
    low = min([0.9, *(point.recall for point in points)])

    def x(ms: float) -> float:
        return WIDE * (math.log10(ms) - left) / (right - left)

    def y(recall: float) -> float:
        return HIGH * (1 - (_height(recall) - _height(low)) / (_height(1.0) - _height(low)))

    parts = [f'<path class="grid" d="M0 {y(at):.1f}H{WIDE}"/>' for at in GRID if at >= low]
    parts += [f'<text class="end" x="-6" y="{y(at) + 3:.1f}">{at:g}</text>' for at in GRID if at >= low]
    for tick in _ticks(left, right):
        parts.append(f'<path class="grid" d="M{x(tick):.1f} 0V{HIGH}"/>')
        parts.append(f'<text class="mid" x="{x(tick):.1f}" y="{HIGH + 14}">{tick:g}</text>')
    parts.append(f'<path class="bar" d="M0 {y(report.wanted):.1f}H{WIDE}"/>')
    parts.append(f'<text class="mid" x="{WIDE / 2}" y="{HIGH + 30}">milliseconds a query</text>')
    parts.append(f'<text class="mid" transform="translate(-42,{HIGH / 2}) rotate(-90)">recall@{report.at}</text>')
    most = max((point.bytes_per_vector for point in points), default=1.0)
    for kind in dict.fromkeys(point.kind for point in points):
        mine = [point for point in points if point.kind == kind]
        path = "L".join(f"{x(p.ms):.1f} {y(p.recall):.1f}" for p in mine if not p.live or len(mine) == 1)
        parts.append(f'<g class="{kind}"><path class="line" d="M{path}"/>')
        parts += [_dot(point, x(point.ms), y(point.recall), most) for point in mine]
        last = mine[-1]
        parts.append(f'<text class="name" x="{x(last.ms) + 10:.1f}" y="{y(last.recall) - 9:.1f}">{kind}</text></g>')
    frame = f'viewBox="-56 -22 {WIDE + 104} {HIGH + 60}"'
    style, size, name = "", "", f"recall against time of the indexes of {report.version}"
    if alone:
        style = f"<style>{standalone.STYLE}{_CURVES}{_ALONE}</style>"
        size = f' xmlns="http://www.w3.org/2000/svg" width="{WIDE + 104}" height="{HIGH + 60}"'
    return f'<svg class="curve"{size} {frame} role="img" aria-label="{escape(name)}">{style}{"".join(parts)}</svg>'


def _dot(point: Point, x: float, y: float, most: float) -> str:
    radius = 2 + 5 * (point.bytes_per_vector / most) ** 0.5
    effort = "" if point.effort is None else f" at effort {point.effort}"
    told = f"{point.kind}{effort}: recall {point.recall:.4f}, {point.ms:.3f} ms, {point.bytes_per_vector:.0f} bytes"
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{radius + 3:.1f}"/>' if point.live else ""
    return f'{ring}<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{told}</title></circle>'


def _height(recall: float) -> float:
    """Place a recall on its axis: logarithms of what is missed."""
    return -math.log10(max(1 - recall, MISSED))


def _span(times: list[float]) -> tuple[float, float]:
    """Return the ends of the axis of time, as powers of ten."""
    if not times:
        return -1.0, 0.0
    left, right = math.log10(min(times)), math.log10(max(times))
    room = max(0.06 * (right - left), 0.08)
    return left - room, right + room


def _ticks(left: float, right: float) -> list[float]:
    powers = range(math.floor(left), math.ceil(right) + 1)
    steps = (step * 10.0**power for power in powers for step in (1, 2, 5))
    return [at for at in steps if left <= math.log10(at) <= right]


def _table(report: IndexReport) -> Iterator[str]:
    yield "<div class=scroll><table><tr><th>kind<th>effort<th>recall<th>ms a query<th>99 of 100 within"
    yield "<th>bytes a vector<th>"
    for point in report.points:
        kind = " class=live" if point.live else ""
        yield f"<tr{kind}><td>{escape(point.kind)}<td class=num>{'' if point.effort is None else point.effort}"
        yield f"<td class=num>{point.recall:.4f}<td class=num>{point.ms:.3f}<td class=num>{point.ms_p99:.3f}"
        yield f"<td class=num>{point.bytes_per_vector:,.0f}<td>{'answers now' if point.live else ''}"
    yield "</table></div>"
