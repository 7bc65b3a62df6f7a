"""The reliability diagrams of a training as one HTML page: no script, nothing from the network, light and dark.

In: what validation found. Out: the page. A point on the diagonal keeps its word; its area says how many pairs speak.
"""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from recengine.jobs import standalone
from recengine.offline.reliability import Reliability

__all__ = ("page", "write")

SIDE = 240
"""Of the plot, user units."""

_STYLE = """
h2 { margin: 0; font: 600 .95rem/1.4 ui-monospace, monospace }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: .9rem; margin-top: 1.5rem }
.card p { font-size: .83rem; font-variant-numeric: tabular-nums }
svg { display: block; width: 100%; height: auto; margin: .4rem 0 }
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
    standalone.write(page(found, version), target)


def page(found: Sequence[Reliability], version: str) -> str:
    """Render the page: the blend first, then every model."""
    return standalone.document(
        f"Confidence of {version}",
        _STYLE,
        [
            "<p class=soft>What a model is sure of, and how often that came true, on held-out items of the test users ",
            "and as many random ones: even odds are 0.5. Points on the dashed diagonal keep their word; orange is ",
            "what they miss. The dotted line is the threshold below which a model abstains.</p>",
            "<div class=cards>",
            *(part for one in found for part in _card(one)),
            "</div>",
        ],
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
