"""The reliability diagrams of a training as one HTML page: no script, nothing from the network, light and dark.

In: what validation found. Out: the page. A point on the diagonal keeps its word; its area says how many pairs speak.
"""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from recengine.durable import whole
from recengine.offline.reliability import Reliability

__all__ = ("page", "write")

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: a browser loads nothing for it."""
SIDE = 240
"""Of the plot, user units."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5c6878; --rule: #dde2e9; --paper: #fff; --card: #f6f7f9;
  --mark: #3b76d8; --gap: #d9731a }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a4b3; --rule: #333c48; --paper: #14181e;
  --card: #1c222a; --mark: #5b93ec; --gap: #f0964a } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.7rem } h2 { margin: 0; font: 600 .95rem/1.4 ui-monospace, monospace }
p { margin: .3rem 0 } .soft { color: var(--soft) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: .9rem; margin-top: 1.5rem }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: .8rem .9rem; min-width: 0 }
.card p { font-size: .83rem; font-variant-numeric: tabular-nums }
svg { display: block; width: 100%; height: auto; margin: .4rem 0 }
svg text { fill: var(--soft); font: 10px system-ui, sans-serif } .end { text-anchor: end } .mid { text-anchor: middle }
.grid { stroke: var(--rule) } .even { stroke: var(--soft); stroke-dasharray: 4 3 } .gap { stroke: var(--gap) }
.line { fill: none; stroke: var(--mark); stroke-width: 1.5 } .dot { fill: var(--mark); fill-opacity: .75 }
.bar { stroke: var(--soft); stroke-dasharray: 1 3 }
"""


def write(found: Sequence[Reliability], version: str, target: Path) -> None:
    """Write the page; the file appears under its name only when it is complete.

    Raises
    ------
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    with whole(target) as out:
        out.write(page(found, version).encode())


def page(found: Sequence[Reliability], version: str) -> str:
    """Render the page: the blend first, then every model."""
    return "".join(
        [
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            f"<title>Confidence of {escape(version)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Confidence of {escape(version)}</h1>",
            "<p class=soft>What a model is sure of, and how often that came true, on held-out items of the test users ",
            "and as many random ones: even odds are 0.5. Points on the dashed diagonal keep their word; orange is ",
            "what they miss. The dotted line is the threshold below which a model abstains.</p>",
            "<div class=cards>",
            *(part for one in found for part in _card(one)),
            "</div></body></html>\n",
        ]
    )


def _card(one: Reliability) -> Iterator[str]:
    name = "the blend" if one.name == "candidate" else one.name
    error = "scored nothing" if one.ece is None else f"ECE {one.ece:.3f}, Brier {one.brier:.3f}"
    yield f"<section class=card><h2>{escape(name)}</h2>{_diagram(one, name)}"
    yield f"<p>{error}</p><p class=soft>{one.pairs:,} pairs of {one.users:,} users, {escape(one.family)} curve"
    yield "</p></section>" if one.abstains is None else f"; abstains on {one.abstains:.0%}</p></section>"


def _diagram(one: Reliability, name: str) -> str:
    parts = [
        f'<path class=grid d="M{at * SIDE:g} 0V{SIDE}M0 {at * SIDE:g}H{SIDE}"/>' for at in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts.append(f'<path class=even d="M0 {SIDE}L{SIDE} 0"/>')
    if one.threshold:
        parts.append(f'<path class=bar d="M{one.threshold * SIDE:.1f} 0V{SIDE}"/>')
    points = [(b.confidence * SIDE, SIDE - b.engaged * SIDE) for b in one.bins]
    most = max((b.pairs for b in one.bins), default=1)
    for b, (x, y) in zip(one.bins, points, strict=True):
        parts.append(f'<path class=gap d="M{x:.1f} {y:.1f}V{SIDE - x:.1f}"/>')
        told = f"said {b.confidence:.2f}, came true {b.engaged:.2f}, {b.pairs:,} pairs"
        radius = 2 + 7 * (b.pairs / most) ** 0.5
        parts.append(f'<circle class=dot cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{told}</title></circle>')
    if points:
        parts.append(f'<path class=line d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
    for at in (0, 0.5, 1):
        parts.append(f'<text class=mid x="{at * SIDE:g}" y="{SIDE + 14}">{at:g}</text>')
        parts.append(f'<text class=end x="-6" y="{SIDE - at * SIDE + 4:g}">{at:g}</text>')
    parts.append(f'<text class=mid x="{SIDE / 2}" y="{SIDE + 28}">confidence</text>')
    parts.append(f'<text class=mid transform="translate(-26,{SIDE / 2}) rotate(-90)">came true</text>')
    frame = f'viewBox="-36 -12 {SIDE + 48} {SIDE + 46}"'
    return f'<svg {frame} role="img" aria-label="reliability of {escape(name)}">{"".join(parts)}</svg>'
