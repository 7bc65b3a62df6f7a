"""The demo shop's words: styles, colours, audiences, brands, and the grammar of titles and descriptions.

Stands under `catalogue.py`. Data and pure functions. The text of an item names its leaf, style, material, colour and
audience with several words each, so a text model can find the latent topic; it never names numbers that only the
simulation knows. All brands are invented words.
"""

import msgspec

from recengine.demo.tree import Leaf

__all__ = ("AUDIENCES", "BRANDS", "COLOURS", "STYLES", "STYLE_COLOURS", "Look", "Style", "describe", "entitle")


class Style(msgspec.Struct, frozen=True):
    """One style: adjectives, sentences, and the background's RGB and pattern of its pictures."""

    name: str
    adjectives: tuple[str, ...]
    sentences: tuple[str, ...]
    background: tuple[int, int, int]
    pattern: str


STYLES = (
    Style(
        "minimal",
        ("plain", "clean", "pared-back", "calm"),
        (
            "Clean lines, nothing to spare.",
            "A quiet form without ornament, drawn with one line.",
            "Plain surfaces and hidden seams keep it calm.",
        ),
        (238, 240, 243),
        "plain",
    ),
    Style(
        "rustic",
        ("rustic", "country", "weathered", "homely"),
        (
            "Rough edges and a farmhouse feel.",
            "Made the old way, in a small village workshop.",
            "Every piece shows the marks of the hand, like in a country kitchen.",
        ),
        (232, 214, 188),
        "grain",
    ),
    Style(
        "sporty",
        ("sporty", "dynamic", "quick", "athletic"),
        (
            "Built for speed and sweat.",
            "Light, quick and ready for the next lap.",
            "Bold stripes and a sporty cut set the pace.",
        ),
        (214, 236, 250),
        "diagonal",
    ),
    Style(
        "retro",
        ("retro", "vintage", "seventies", "old-school"),
        (
            "It brings back the long summers of the seventies.",
            "Vintage curves and a wink at the jukebox years.",
            "Rounded corners and old-school colours, as grandfather knew them.",
        ),
        (248, 224, 176),
        "sunburst",
    ),
    Style(
        "elegant",
        ("elegant", "refined", "graceful", "polished"),
        (
            "Fine details for evenings that matter.",
            "Slim proportions and a polished finish.",
            "A refined piece that dresses up any occasion.",
        ),
        (226, 218, 232),
        "arcs",
    ),
    Style(
        "playful",
        ("playful", "cheerful", "bright", "funny"),
        (
            "Bright, cheerful and a little silly.",
            "Confetti colours that make people smile.",
            "It has fun and does not hide it.",
        ),
        (255, 228, 232),
        "dots",
    ),
    Style(
        "technical",
        ("technical", "precise", "engineered", "modular"),
        (
            "Engineered to the tenth of a millimetre.",
            "Modular parts, clear specifications, no surprises.",
            "Tested in the lab for ten thousand cycles.",
        ),
        (212, 220, 228),
        "grid",
    ),
    Style(
        "natural",
        ("natural", "organic", "earthy", "untreated"),
        (
            "Untreated, plant-dyed and kind to the soil.",
            "Grown, gathered and made without plastic.",
            "Earthy tones and organic shapes bring the forest in.",
        ),
        (220, 234, 214),
        "leaves",
    ),
)

COLOURS: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("charcoal", (58, 62, 70)),
    ("ivory", (244, 236, 216)),
    ("slate blue", (86, 112, 150)),
    ("moss green", (104, 128, 72)),
    ("brick red", (176, 72, 58)),
    ("mustard", (220, 170, 58)),
    ("rose", (224, 140, 156)),
    ("sky", (112, 182, 222)),
    ("aubergine", (104, 60, 104)),
    ("coral", (244, 122, 92)),
    ("teal", (42, 138, 138)),
    ("sand", (206, 182, 144)),
)
STYLE_COLOURS = {
    "minimal": (0, 1, 11),
    "rustic": (11, 4, 3),
    "sporty": (7, 9, 0),
    "retro": (5, 4, 10),
    "elegant": (8, 0, 6),
    "playful": (9, 6, 7, 5),
    "technical": (2, 0, 10),
    "natural": (3, 11, 10),
}
"""Rows of COLOURS that a style prefers."""

AUDIENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("beginners", ("A good first one for beginners.", "Easy to start with, no experience needed.")),
    ("professionals", ("Professionals use it every working day.", "Made for people who do this for a living.")),
    ("families", ("Made for families and full houses.", "Children and grandparents get along with it at once.")),
    ("travellers", ("Travellers like it because it packs small.", "Light enough for every journey.")),
    ("gift givers", ("A gift that gets unwrapped with a smile.", "It comes in a gift box with a card.")),
)

BRANDS = (
    *(
        "Velmorra",
        "Tarnquil",
        "Osprindle",
        "Brukkaday",
        "Quenloe",
        "Fjornaby",
        "Hallowick",
        "Zemblau",
        "Pipkorra",
        "Larshuus",
    ),
    *(
        "Undertwig",
        "Morvanti",
        "Skelderin",
        "Ombrelau",
        "Tuckervane",
        "Wrenhollow",
        "Kestavia",
        "Dromlund",
        "Yarrowmere",
    ),
    *(
        "Boblinko",
        "Ferrumont",
        "Ilsegaard",
        "Noctaviel",
        "Plumberry",
        "Ravendahl",
        "Saltimbo",
        "Thistlau",
        "Vandermoss",
    ),
    *("Grunewalt", "Cobblefay", "Ektorvin", "Jollywim", "Marzelune", "Northquay", "Pellucor", "Rimbauda", "Sundrevik"),
    *("Trallabee", "Ulverine", "Zandoline", "Oakenfyr", "Birkelund", "Calvessa", "Drakkavi", "Elmsworthe", "Fennimoor"),
    *("Gossamelle", "Huxtamber"),
)
LINES = (
    *(
        "Hush",
        "Arc",
        "Fable",
        "Nord",
        "Pixel",
        "Loom",
        "Ember",
        "Tide",
        "Grove",
        "Nova",
        "Pebble",
        "Atlas",
        "Mellow",
        "Kite",
    ),
    *("Harbour", "Echo", "Juniper", "Orbit", "Saga", "Lark"),
)


class Look(msgspec.Struct, frozen=True):
    """What the words about an item are made from; `picks` are seven random integers >= 0 that choose among phrases."""

    leaf: Leaf
    brand: str
    style: Style
    material: str
    colour: str
    audience: int
    picks: tuple[int, ...]

    @property
    def noun(self) -> str:
        """The item's noun, the same in title and description."""
        return self.leaf.nouns[self.picks[0] % len(self.leaf.nouns)]

    @property
    def adjective(self) -> str:
        """A word of the item's style, the same in title and description."""
        return self.style.adjectives[self.picks[1] % len(self.style.adjectives)]

    @property
    def packed(self) -> bool:
        """Whether colour belongs to the package, as with food and creams."""
        return self.leaf.consumable or self.leaf.category == "beauty"


def entitle(look: Look) -> str:
    """Name an item from its parts: brand, line, and one or two of adjective, material and colour."""
    line = LINES[look.picks[2] % len(LINES)]
    coloured = f"{look.material} {look.noun}" if look.packed else f"{look.noun} in {look.colour}"
    tails = (
        f"{look.adjective} {look.noun}",
        f"{look.material} {look.noun}",
        coloured,
        f"{look.adjective} {look.material} {look.noun}",
    )
    return f"{look.brand} {line} {tails[look.picks[3] % len(tails)]}"


def describe(look: Look) -> str:
    """Write two to four sentences that carry leaf, style, material, colour and, mostly, the audience."""
    noun, use = look.noun, look.leaf.use
    plural = noun.endswith("s") and not noun.endswith("ss")
    article = "An" if look.adjective[0] in "aeiou" else "A"
    lead = f"{look.adjective.capitalize()} {noun}" if plural else f"{article} {look.adjective} {noun}"
    subject = "They" if plural else "It"
    if plural:
        use = _plural(use)
    if look.packed:
        body = (
            f"{lead} with {look.material}, in a {look.colour} box. {subject} {use}.",
            f"{lead} with {look.material} that {use}. The box is {look.colour}.",
        )
    else:
        body = (
            f"{lead} in {look.material}, coloured {look.colour}. {subject} {use}.",
            f"{lead} in {look.colour} {look.material} that {use}.",
        )
    closing = look.picks[6] % 6
    words = AUDIENCES[look.audience][1]
    tail = (
        words[look.picks[6] // 6 % len(words)]
        if closing < 4
        else f"Goes well with our {look.leaf.follows[0]}."
        if closing == 4
        else ""
    )
    sentences = (body[look.picks[4] % 2], look.style.sentences[look.picks[5] % len(look.style.sentences)], tail)
    return " ".join(sentence for sentence in sentences if sentence)


def _plural(use: str) -> str:
    """Turn the leading verb of a use phrase from singular to plural: `keeps` -> `keep`."""
    verb, _, rest = use.partition(" ")
    ending = 2 if verb.endswith(("shes", "sses", "ches", "xes", "goes")) else 1
    return f"{verb[:-ending]} {rest}"
