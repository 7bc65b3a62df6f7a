"""Charts of the report on features, as inline SVG: no script, no font, no file; colours come from the page's style.

In: plain numbers. Out: markup in which everything that is not ours is escaped. Hovering a mark says its numbers.
"""

from collections.abc import Sequence
from html import escape

from recengine.jobs.feature_facts import Bars
from recengine.types import F64

__all__ = ("heatmap", "meter", "spark", "spread")

WIDE, HIGH = 340, 120
"""Plot area of `spread`, user units."""
GUTTER = 118
"""Room for the labels of categories."""
ROW = 17
CELL = 11


def spread(bars: Bars, title: str) -> str:
    """Draw the shares of both periods by bin: filled = later, outlined = earlier."""
    if not bars.labels:
        return "<p class=soft>no values</p>"
    return _histogram(bars, title) if bars.continuous else _rows(bars, title)


def spark(bars: Bars) -> str:
    """Draw the same, small and without words."""
    if not bars.labels:
        return ""
    wide, high = 96, 22
    top = _top(bars)
    step = wide / len(bars.labels)
    marks = [
        f'<rect class=after x="{k * step:.1f}" y="{high - high * share / top:.1f}" width="{max(step - 0.6, 0.6):.1f}" '
        f'height="{high * share / top:.1f}"/>'
        for k, share in enumerate(bars.after)
        if share > 0
    ]
    line = f'<path class=before d="{_steps(bars.before, step, high, top)}"/>'
    size = f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
    return f'<svg class=spark {size} aria-hidden="true">{"".join(marks)}{line}</svg>'


def meter(share: float, text: str, kind: str = "after") -> str:
    """Draw a bar of `share` (0..1) with its number beside it."""
    length = 64 * min(max(share, 0.0), 1.0)
    bar = f'<rect class={kind} width="{length:.1f}" height="8" rx="1"/>' if length >= 0.05 else ""
    return (
        '<span class=num><svg class=meter viewBox="0 0 64 8" width="64" height="8" aria-hidden="true">'
        f'<rect class=track width="64" height="8" rx="1"/>{bar}</svg> {escape(text)}</span>'
    )


def heatmap(names: Sequence[str], matrix: F64) -> str:
    """Draw the lower half of a correlation matrix, -1 orange, +1 blue; below 0.05 a cell stays empty."""
    n = len(names)
    if n < 2:
        return "<p class=soft>fewer than two numbers that change</p>"
    left, side = 148, n * CELL
    parts = []
    for i in range(n):
        y = i * CELL
        parts.append(f'<text class=end x="{left - 5}" y="{y + CELL - 2.5}">{escape(names[i])}</text>')
        for j in range(i):
            r = float(matrix[i, j])
            if abs(r) >= 0.05:
                kind = "plus" if r > 0 else "minus"
                told = f"<title>{escape(names[i])}, {escape(names[j])}: {r:+.2f}</title>"
                parts.append(
                    f'<rect class={kind} x="{left + j * CELL}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" '
                    f'fill-opacity="{abs(r):.2f}">{told}</rect>'
                )
        parts.append(
            f'<text transform="translate({left + i * CELL + 2},{y + CELL - 3}) rotate(-38)">{escape(names[i])}</text>'
        )
    wide, above = left + side + 130, 84
    return (
        f'<svg class=heat viewBox="0 {-above} {wide} {side + above + 4}" width="{wide}" role="img" '
        f'aria-label="rank correlation of {n} features">{"".join(parts)}</svg>'
    )


def _histogram(bars: Bars, title: str) -> str:
    top, step = _top(bars), WIDE / len(bars.labels)
    marks = []
    for k, (name, before, after) in enumerate(zip(bars.labels, bars.before, bars.after, strict=True)):
        high, x = HIGH * after / top, k * step
        size = f'y="{HIGH - high:.1f}" width="{step - 1:.1f}" height="{high:.1f}"'
        marks.append(
            f'<g>{_told(name, before, after)}<rect class=hit x="{x:.1f}" y="0" width="{step:.1f}" height="{HIGH}"/>'
            f'<rect class=after x="{x + 0.5:.1f}" {size}/></g>'
        )
    middle = bars.labels[len(bars.labels) // 2].split(" to ")[0]
    ends = (bars.labels[0].removeprefix("up to ").split(" to ")[0], bars.labels[-1].split(" to ")[-1])
    axis = (
        f'<path class=axis d="M0 {HIGH}H{WIDE}"/><text x="0" y="{HIGH + 13}">{escape(ends[0])}</text>'
        f'<text class=mid x="{WIDE / 2}" y="{HIGH + 13}">{escape(middle)}</text>'
        f'<text class=end x="{WIDE}" y="{HIGH + 13}">{escape(ends[1])}</text>'
        f'<text class=end x="{WIDE}" y="-4">{top:.0%}</text>'
    )
    line = f'<path class=before d="{_steps(bars.before, step, HIGH, top)}"/>'
    return _svg(WIDE, HIGH + 18, title, "".join(marks) + line + axis, above=14)


def _rows(bars: Bars, title: str) -> str:
    top, room = _top(bars), WIDE - GUTTER - 40
    marks = []
    for k, (name, before, after) in enumerate(zip(bars.labels, bars.before, bars.after, strict=True)):
        y = k * ROW
        shown = name if len(name) <= 19 else name[:18] + "\u2026"
        marks.append(
            f'<g>{_told(name, before, after)}<rect class=hit x="0" y="{y}" width="{WIDE}" height="{ROW}"/>'
            f'<text class=end x="{GUTTER - 6}" y="{y + 11}">{escape(shown)}</text>'
            f'<rect class=after x="{GUTTER}" y="{y + 2}" width="{room * after / top:.1f}" height="7"/>'
            f'<rect class=then x="{GUTTER}" y="{y + 10}" width="{room * before / top:.1f}" height="3"/>'
            f'<text x="{GUTTER + room * max(before, after) / top + 5:.1f}" y="{y + 11}">{after:.1%}</text></g>'
        )
    return _svg(WIDE, ROW * len(bars.labels) + 2, title, "".join(marks))


def _steps(shares: Sequence[float], step: float, high: float, top: float) -> str:
    """Outline a histogram, from its foot to its foot."""
    path = [f"M0 {high:.1f}"]
    for k, share in enumerate(shares):
        path.append(f"V{high - high * share / top:.1f}H{(k + 1) * step:.1f}")
    return "".join(path) + f"V{high:.1f}"


def _told(name: str, before: float, after: float) -> str:
    return f"<title>{escape(name)}: {before:.1%} earlier, {after:.1%} later</title>"


def _top(bars: Bars) -> float:
    return max((*bars.before, *bars.after), default=0.0) or 1.0


def _svg(wide: int, high: int, title: str, inside: str, *, above: int = 0) -> str:
    frame = f'viewBox="0 {-above} {wide} {high + above}"'
    return f'<svg class=chart {frame} role="img" aria-label="{escape(title)}">{inside}</svg>'
