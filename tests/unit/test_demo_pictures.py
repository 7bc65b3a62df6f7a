"""The demo shop's pictures: that they are pictures, and that they show leaf, style and colour."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recengine.demo.catalogue import draw_items
from recengine.demo.icons import ICONS, strokes
from recengine.demo.pictures import SIZE, write_pictures
from recengine.demo.tree import LEAVES

N = 560


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    items = draw_items(np.random.default_rng(2), N, 180)
    folder = tmp_path_factory.mktemp("images")
    names = [f"i{row}" for row in range(N)]
    told = []
    write_pictures(folder, items, names, seed=0, tell=told.append)
    assert told[-1] == N
    pixels = []
    for name in names:
        with Image.open(folder / f"{name}.jpg") as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (SIZE, SIZE))
            pixels.append(np.asarray(picture, dtype=np.float32))
    return items, np.array(pixels)


def nearest(features: np.ndarray, labels: np.ndarray) -> float:
    """Name each picture of the second half after its nearest one in the first half; return the share that is right."""
    flat = features.reshape(len(features), -1)
    known, asked = flat[: N // 2], flat[N // 2 :]
    far = (known**2).sum(axis=1) - 2 * asked @ known.T
    return float((labels[: N // 2][far.argmin(axis=1)] == labels[N // 2 :]).mean())


def test_the_background_shows_the_style(pictures):
    items, pixels = pictures
    assert nearest(pixels[:, 40:, :5], items.style) > 0.95


def test_the_middle_shows_the_colour(pictures):
    items, pixels = pictures
    middle = pixels[:, 30:66, 30:66].reshape(N, -1, 3)
    share = np.stack([np.histogramdd(one, bins=(5, 5, 5), range=[(0, 255)] * 3)[0].ravel() for one in middle])
    assert nearest(np.sqrt(share), items.colour) > 3 * np.bincount(items.colour).max() / N


def test_the_silhouette_shows_the_leaf(pictures):
    items, pixels = pictures
    edges = np.abs(np.diff(pixels.mean(axis=3), axis=2))[:, 8:88, 8:75] > 12
    coarse = edges[:, :80, :64].reshape(N, 16, 5, 16, 4).mean(axis=(2, 4))
    coarse -= np.array([coarse[items.style == style].mean(axis=0) for style in range(8)])[
        items.style
    ]  # take the pattern away
    assert nearest(coarse, items.leaf) > 5 * np.bincount(items.leaf).max() / N


def test_every_leaf_has_a_drawing_of_its_own_that_stays_on_the_canvas():
    assert set(ICONS) == {leaf.name for leaf in LEAVES}
    seen = set()
    for leaf in LEAVES:
        canvas = Image.new("L", (SIZE, SIZE))
        pen = ImageDraw.Draw(canvas)
        for shape, tone, numbers in strokes(leaf.name):
            assert shape in "REPLA"
            assert tone in "bdlm"
            corners = numbers[: {"P": len(numbers), "L": len(numbers) - 1}.get(shape, 4)]
            assert len(corners) % 2 == 0
            assert 0 <= min(corners) <= max(corners) <= SIZE
            pen.rectangle((min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])), fill=255)
        seen.add(canvas.tobytes())
    assert len(seen) == len(LEAVES)
