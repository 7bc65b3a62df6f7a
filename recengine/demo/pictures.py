"""The demo shop's pictures: one small JPEG an item, painted from its leaf, style, colour, material and brand.

Stands on `icons.py` and `catalogue.py`, under `shop.py`. In: `Items`. Out: `images/<item_id>.jpg`. The only module
that needs Pillow. A picture tells what a vision model can learn: the silhouette is the leaf's, the background's tint
and pattern the style's, the main colour the item's colour, the trim the material's, and the seal in the corner the
brand's. Size, place and light vary from item to item.

Why Pillow is looked up rather than tried: the extra `demo` is optional, and its absence must be told before anything
is written.
"""

import hashlib
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from recengine.demo.catalogue import Items
from recengine.demo.icons import Stroke, strokes
from recengine.demo.tree import LEAVES
from recengine.demo.words import BRANDS, COLOURS, STYLES, Style
from recengine.errors import ConfigError

HAS_PILLOW = find_spec("PIL") is not None
if HAS_PILLOW:
    from PIL import Image, ImageDraw, ImageFilter

__all__ = ("SIZE", "require_pillow", "write_pictures")

SIZE = 96
_SCALE = 2
"""Pictures are painted at twice the size and averaged down: the cheapest anti-aliasing."""
_WIDE = SIZE * _SCALE

Colour = tuple[int, int, int]


def require_pillow() -> None:
    """Raise ConfigError where Pillow is not installed."""
    if not HAS_PILLOW:
        raise ConfigError(
            "the demo shop's pictures need Pillow, which is not installed",
            hint="pip install 'recengine[demo]', or leave the images out",
        )


def write_pictures(folder: Path, items: Items, names: list[str], *, seed: int, tell: Callable[[int], None]) -> None:
    """Paint `folder/<name>.jpg` for every item, 96 x 96 RGB.

    `names` are the item ids in order. Cost: about 1 ms of CPU a picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backgrounds = [(_background(style), _towards(style.background, (60, 60, 70), 0.25)) for style in STYLES]
    drawings = [strokes(leaf.name) for leaf in LEAVES]
    rng = np.random.default_rng((seed, 9))
    draws = rng.random((len(names), 4))
    for i, name in enumerate(names):
        backdrop, ground = backgrounds[items.style[i]]
        tones = _tones(COLOURS[items.colour[i]][1], items.material[i], draws[i, 0])
        picture = _paint(backdrop, ground, drawings[items.leaf[i]], tones, _seal(BRANDS[items.brand[i]]), draws[i])
        picture.save(folder / f"{name}.jpg", quality=86)
        if i % 50 == 49 or i + 1 == len(names):
            tell(i + 1)


def _paint(
    background: "Image.Image",
    ground: Colour,
    drawing: tuple[Stroke, ...],
    tones: dict[str, Colour],
    seal: Colour,
    draw: np.ndarray,
) -> "Image.Image":
    """Paint one picture: background, shadow, strokes, seal."""
    canvas = background.copy()
    pen = ImageDraw.Draw(canvas)
    zoom = _SCALE * (0.72 + 0.16 * float(draw[1]))
    left = (_WIDE - 96 * zoom) * (0.3 + 0.4 * float(draw[2]))
    top = (_WIDE - 96 * zoom) * (0.3 + 0.4 * float(draw[3]))
    pen.ellipse((left + 16 * zoom, top + 78 * zoom, left + 80 * zoom, top + 92 * zoom), fill=ground)
    for shape, tone, numbers in drawing:
        _stroke(pen, shape, tones[tone], numbers, zoom, left, top)
    pen.ellipse((_WIDE - 34, 10, _WIDE - 10, 34), fill=seal, outline=(255, 255, 255), width=3)
    return canvas.resize((SIZE, SIZE), Image.Resampling.BOX)


def _stroke(
    pen: "ImageDraw.ImageDraw",
    shape: str,
    colour: Colour,
    numbers: tuple[float, ...],
    zoom: float,
    left: float,
    top: float,
) -> None:
    """Put one stroke on the canvas."""
    points = {"R": 4, "E": 4, "A": 4, "P": len(numbers), "L": len(numbers) - 1}[shape]
    xy = [number * zoom + (left if place % 2 == 0 else top) for place, number in enumerate(numbers[:points])]
    if shape == "R":
        pen.rounded_rectangle(xy, radius=numbers[4] * zoom, fill=colour)
    elif shape == "E":
        pen.ellipse(xy, fill=colour)
    elif shape == "A":
        pen.arc(xy, numbers[4], numbers[5], fill=colour, width=round(numbers[6] * zoom))
    elif shape == "P":
        pen.polygon(xy, fill=colour)
    else:
        pen.line(xy, fill=colour, width=max(1, round(numbers[-1] * zoom)), joint="curve")


def _tones(colour: Colour, material: str, light: float) -> dict[str, Colour]:
    """Spread the item's colour into body, dark and light, and give the material its own tone."""
    body = _towards(colour, (255, 255, 255) if light > 0.5 else (0, 0, 0), 0.24 * abs(light - 0.5))
    return {
        "b": body,
        "d": _towards(body, (20, 20, 30), 0.5),
        "l": _towards(body, (255, 255, 255), 0.6),
        "m": _material(material),
    }


def _material(name: str) -> Colour:
    """Give a material a muted tone of its own, the same wherever it is used."""
    digest = hashlib.blake2b(name.encode(), digest_size=3).digest()
    return 90 + digest[0] * 120 // 255, 84 + digest[1] * 110 // 255, 70 + digest[2] * 110 // 255


def _seal(brand: str) -> Colour:
    """Give a brand its colour: a vivid one, from its name."""
    turn = hashlib.blake2b(brand.encode(), digest_size=1).digest()[0] / 255 * 2 * math.pi
    red, green, blue = (round(150 + 95 * math.cos(turn + shift)) for shift in (0, 2.1, 4.2))
    return red, green, blue


def _towards(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _background(style: Style) -> "Image.Image":
    """Paint a style's backdrop: a soft gradient of its tint with its pattern."""
    shade = np.linspace(1.03, 0.93, _WIDE)[:, None, None] * np.array(style.background)[None, None, :]
    canvas = Image.fromarray(np.clip(np.broadcast_to(shade, (_WIDE, _WIDE, 3)), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    ink = _towards(style.background, (70, 70, 90), 0.16)
    step = _WIDE // 8
    for k in range(-8, 17):
        at = k * step
        if style.pattern == "diagonal":
            pen.line((at, 0, at + _WIDE, _WIDE), fill=ink, width=7)
        elif style.pattern == "grid" and 0 <= k <= 8:
            pen.line((at, 0, at, _WIDE), fill=ink, width=2)
            pen.line((0, at, _WIDE, at), fill=ink, width=2)
        elif style.pattern == "dots" and 0 <= k <= 8:
            for row in range(9):
                x, y = at + step // 2 * (row % 2), row * step
                pen.ellipse(
                    (x - 5, y - 5, x + 5, y + 5),
                    fill=_towards(style.background, COLOURS[(k + 3 * row) % len(COLOURS)][1], 0.5),
                )
        elif style.pattern == "grain" and 0 <= k <= 8:
            pen.line([(x, at + 5 * math.sin(x / 17 + k)) for x in range(0, _WIDE + 1, 8)], fill=ink, width=3)
        elif style.pattern == "sunburst" and k % 2 == 0:
            a, b = (k + 8) * math.pi / 12, (k + 9) * math.pi / 12
            middle, far = _WIDE / 2, _WIDE * 1.5
            pen.polygon(
                [
                    middle,
                    middle,
                    middle + far * math.cos(a),
                    middle + far * math.sin(a),
                    middle + far * math.cos(b),
                    middle + far * math.sin(b),
                ],
                fill=ink,
            )
        elif style.pattern == "arcs" and k >= 1:
            pen.arc((-at, -at, at, at), 0, 90, fill=ink, width=4)
        elif style.pattern == "leaves" and 0 <= k <= 8:
            for row in range(9):
                x, y = at + step // 2 * (row % 2), row * step
                pen.polygon([x, y, x + 9, y - 3, x + 14, y + 6, x + 4, y + 7], fill=ink)
    return canvas.filter(ImageFilter.GaussianBlur(0.8))
