"""The demo shop's latent world: personas, and users as mixtures of them.

Stands under `catalogue.py` (items get vectors of the same space) and `events.py` (which reads both). In: a seed and
sizes. Out: `Personas` and `Users`, which hold what no model is shown (mixtures, vectors) beside what it is shown
(demographics).

The space has three blocks: 8 styles, 5 audiences, 8 hidden dimensions that no column or word tells (only behaviour
does, so collaborative models have something that content models cannot know). A user's vector is the mixture of the
persona vectors plus noise. Mixtures are Dirichlet with a base tilted by age, gender, country and device, so
demographics predict taste; a quarter of the users drift to another mixture over the window. Which gender or country
leans where is drawn from the seed, not from folklore.
"""

import msgspec
import numpy as np

from recengine.demo.tree import CATEGORIES, LEAVES
from recengine.demo.words import AUDIENCES, STYLES
from recengine.types import F32, F64, I32, Bools

__all__ = ("COUNTRIES", "DEVICES", "GENDERS", "HIDDEN", "PERSONAS", "Personas", "Users", "draw_personas", "draw_users")

HIDDEN = 8
DEVICES = ("mobile", "desktop", "tablet")
GENDERS = ("female", "male", "other")
COUNTRIES = {
    "Norvale": ("Frostholm", "Lakeland", "Uplands"),
    "Kestria": ("Old Kestria", "Rivermark"),
    "Solenne": ("Costa Lume", "Vinehills", "Port Aster"),
    "Tarrow": ("Tarrow Plain", "Saltmarsh"),
    "Ilmara": ("Isles of Ilmara", "Greyport"),
    "Oskeran": ("High Oskeran", "Copperdale"),
}


class _Persona(msgspec.Struct, frozen=True):
    name: str
    categories: dict[str, float]
    styles: tuple[str, str]
    age: float
    price: float


PERSONAS = (
    _Persona("commuter", {"electronics": 2.0, "shoes and bags": 1.5}, ("minimal", "technical"), 33, 0.3),
    _Persona("coder", {"computing": 2.2, "electronics": 1.0}, ("technical", "minimal"), 29, 0.2),
    _Persona("host", {"kitchen": 2.0, "food": 1.6, "home": 0.8}, ("elegant", "rustic"), 46, 0.7),
    _Persona("runner", {"sports": 2.2, "shoes and bags": 1.0}, ("sporty", "technical"), 30, 0.1),
    _Persona("hiker", {"outdoor": 2.3, "sports": 0.7}, ("natural", "technical"), 41, 0.3),
    _Persona("gardener", {"garden": 2.3, "home": 0.8}, ("rustic", "natural"), 60, 0.0),
    _Persona("parent", {"toys": 2.2, "food": 0.8, "kitchen": 0.5}, ("playful", "natural"), 37, -0.4),
    _Persona("student", {"computing": 1.3, "food": 1.4, "home": 0.6}, ("playful", "retro"), 21, -0.9),
    _Persona("dresser", {"fashion": 2.2, "shoes and bags": 1.4}, ("elegant", "minimal"), 27, 0.5),
    _Persona("groomer", {"beauty": 2.3, "fashion": 0.9}, ("elegant", "natural"), 35, 0.4),
    _Persona("nester", {"home": 2.3, "garden": 0.7}, ("minimal", "natural"), 39, 0.4),
    _Persona("collector", {"toys": 1.5, "electronics": 1.2, "home": 0.5}, ("retro", "playful"), 45, 0.1),
    _Persona("baker", {"kitchen": 2.1, "food": 1.5}, ("playful", "rustic"), 54, -0.3),
    _Persona("weekender", {"fashion": 1.2, "outdoor": 1.4, "food": 0.6}, ("sporty", "retro"), 49, -0.3),
)


class Personas(msgspec.Struct, frozen=True):
    """K personas.

    `leaves` (K, leaves) log-affinity, `vectors` (K, D) in the shared space, `price` (K,) in brand levels.
    """

    leaves: F64
    vectors: F64
    price: F64


class Users(msgspec.Struct, frozen=True):
    """What is true of n users; "seen" fields become columns.

    Hidden: `mixture` and `later` (n, K) at the start and the end of the window, `vectors` and `later_vectors` (n, D),
    `price` (n,), `activity` (n,) >= 0 (0 = never comes). Seen: `age` (n,) years, `gender`, `country`, `region`,
    `device` codes, `joined` (n,) days since the window's start (most are negative), `member` (n,).
    """

    mixture: F64
    later: F64
    vectors: F32
    later_vectors: F32
    price: F64
    activity: F64
    age: I32
    gender: I32
    country: I32
    region: I32
    device: I32
    joined: F64
    member: Bools


def draw_personas(rng: np.random.Generator) -> Personas:
    """Spell out the personas over leaves and the shared space."""
    k = len(PERSONAS)
    leaves = rng.normal(0.0, 0.8, (k, len(LEAVES)))
    column = np.array([CATEGORIES.index(leaf.category) for leaf in LEAVES])
    styles = rng.normal(0.0, 0.25, (k, len(STYLES)))
    names = [style.name for style in STYLES]
    for row, persona in enumerate(PERSONAS):
        liking = np.array([persona.categories.get(category, 0.0) for category in CATEGORIES])
        leaves[row] += 1.8 * liking[column]
        styles[row, names.index(persona.styles[0])] += 2.0
        styles[row, names.index(persona.styles[1])] += 1.2
    audiences = rng.normal(0.0, 0.6, (k, len(AUDIENCES)))
    hidden = rng.normal(0.0, 0.6, (k, HIDDEN))
    return Personas(leaves, np.hstack((styles, audiences, hidden)), np.array([persona.price for persona in PERSONAS]))


def draw_users(rng: np.random.Generator, n: int, personas: Personas, days: int) -> Users:
    """Draw n users. Cost: O(n x K x D)."""
    age = (
        np.clip(np.where(rng.random(n) < 0.55, rng.normal(31, 8, n), rng.normal(52, 12, n)), 16, 88)
        .round()
        .astype(np.int32)
    )
    gender = rng.choice(len(GENDERS), n, p=(0.49, 0.48, 0.03)).astype(np.int32)
    country = rng.choice(len(COUNTRIES), n, p=(0.28, 0.22, 0.18, 0.14, 0.10, 0.08)).astype(np.int32)
    sizes = np.array([len(regions) for regions in COUNTRIES.values()])
    firsts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    region = (firsts[country] + (rng.random(n) ** 1.4 * sizes[country]).astype(np.int32)).astype(np.int32)
    mobile = 1 / (1 + np.exp((age - 47) / 9))
    roll = rng.random(n)
    device = np.where(roll < 0.15 + 0.65 * mobile, 0, np.where(roll > 0.9, 2, 1)).astype(np.int32)

    peaks = np.array([persona.age for persona in PERSONAS])
    tilt = -0.5 * ((age[:, None] - peaks) / 9.0) ** 2
    tilt = np.maximum(tilt, -4.0)
    tilt += _leanings(rng, gender, len(GENDERS), 1.3) + _leanings(rng, country, len(COUNTRIES), 0.8)
    tilt += _leanings(rng, device, len(DEVICES), 0.3)
    tilt -= np.log(np.exp(tilt).mean(axis=0))  # no persona is everybody's
    mixture = _dirichlet(rng, tilt)
    drifts = rng.random(n) < 0.25
    later = np.where(drifts[:, None], 0.25 * mixture + 0.75 * _dirichlet(rng, tilt), mixture)

    noise = rng.normal(0, 0.3, (n, personas.vectors.shape[1]))
    activity = rng.gamma(1.1, 1.0, n) + 0.45
    activity[rng.random(n) < 0.03] = 0.0
    if not activity.any():
        activity[0] = 1.0
    before = rng.random(n) < 0.82
    joined = np.where(before, -rng.exponential(260, n), rng.random(n) * days)
    return Users(
        mixture=mixture,
        later=later,
        vectors=(mixture @ personas.vectors + noise).astype(np.float32),
        later_vectors=(later @ personas.vectors + noise).astype(np.float32),
        price=mixture @ personas.price + rng.normal(0, 0.35, n),
        activity=activity,
        age=age,
        gender=gender,
        country=country,
        region=region,
        device=device,
        joined=joined,
        member=rng.random(n) < 1 / (1 + np.exp(1.6 - 0.8 * activity)),
    )


def _leanings(rng: np.random.Generator, codes: I32, groups: int, spread: float) -> F64:
    """Draw for every group how it leans to every persona, log-odds, and look it up for every user, (n, K)."""
    return np.asarray(rng.normal(0, spread, (groups, len(PERSONAS)))[codes])


def _dirichlet(rng: np.random.Generator, tilt: F64) -> F64:
    """Draw a mixture a row from Dirichlet(softmax(tilt)), sparse: one to three personas carry a user."""
    base = np.exp(tilt - tilt.max(axis=1, keepdims=True))
    alpha = np.maximum(1.0 * base / base.sum(axis=1, keepdims=True), 0.02)
    gammas = rng.standard_gamma(alpha) + 1e-12
    return np.asarray(gammas / gammas.sum(axis=1, keepdims=True))
