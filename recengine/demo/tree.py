# ruff: noqa: E501 - the table reads by rows
"""The demo shop's category tree: 12 categories, 60 leaves, and what follows what.

Stands under `catalogue.py` (what is sold), `events.py` (which leaf a shopper visits next) and `pictures.py` (one
drawing a leaf). Data only. A row of the table says: category | leaf | nouns | materials | typical price | consumable
| season | next leaves | use.

`season` runs from -1 (winter goods) to +1 (summer goods). `next` names the leaves that a shopper tends to visit after
this one, the likeliest first: these chains (phone, then case, then charger) are the truth that sequential models look
for.
"""

import msgspec

__all__ = ("CATEGORIES", "LEAVES", "WEEKEND", "Leaf")


class Leaf(msgspec.Struct, frozen=True):
    """One leaf of the tree.

    `price` in the shop's currency, `season` -1..1, `follows` = names of leaves, likeliest first.
    """

    category: str
    name: str
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    price: float
    consumable: bool
    season: float
    follows: tuple[str, ...]
    use: str


_TABLE = """
electronics | phones | phone, smartphone | glass, aluminium, ceramic | 420 | - | 0 | phone cases, chargers, headphones | takes sharp pictures and runs two days on one charge
electronics | phone cases | phone case, phone cover | leather, silicone, cork | 19 | - | 0 | chargers, headphones | guards the corners and the screen when the phone slips
electronics | chargers | charger, charging dock | aluminium, recycled plastic, bamboo | 28 | - | 0 | headphones, phone cases | fills an empty battery before breakfast is over
electronics | headphones | headphones, earphones | aluminium, leather, recycled plastic | 110 | - | 0 | speakers, chargers | keeps the street outside and the bass inside
electronics | speakers | speaker, radio | walnut, aluminium, wool felt | 140 | - | 0.3 | headphones, lamps | fills a living room with warm sound
computing | laptops | laptop, notebook computer | aluminium, carbon fibre, recycled plastic | 880 | - | -0.2 | laptop sleeves, mice, keyboards | compiles, renders and still fits on a train table
computing | laptop sleeves | laptop sleeve, laptop pouch | wool felt, leather, canvas | 32 | - | 0 | mice, backpacks | slides into any bag and takes the knocks
computing | mice | mouse, trackball | recycled plastic, aluminium, walnut | 38 | - | 0 | keyboards, monitors | follows the hand without a cable
computing | keyboards | keyboard, mechanical keyboard | aluminium, walnut, recycled plastic | 85 | - | 0 | mice, monitors | makes long hours of typing a quiet pleasure
computing | monitors | monitor, display | aluminium, glass, recycled plastic | 260 | - | -0.1 | keyboards, lamps | shows fine text and true colours on a wide screen
home | lamps | lamp, table lamp | brass, linen, glass | 75 | - | -0.3 | cushions, shelves | pours soft light over the reading chair
home | cushions | cushion, pillow | linen, velvet, wool felt | 26 | - | -0.1 | rugs, candles | makes the sofa hard to leave
home | rugs | rug, runner rug | wool, jute, cotton | 130 | - | -0.3 | cushions, lamps | warms the floor under bare feet
home | candles | candle, scented candle | beeswax, soy wax, glass | 16 | yes | -0.5 | cushions, mugs | burns for forty hours and smells of cedar
home | shelves | shelf, bookcase | oak, steel, bamboo | 150 | - | 0 | lamps, planters | holds books, plants and small treasures
kitchen | pans | pan, frying pan | cast iron, copper, steel | 62 | - | -0.1 | knives, olive oils | sears, simmers and goes into the oven
kitchen | knives | knife, chef's knife | steel, olive wood, ceramic | 70 | - | 0 | pans, cutting boards | cuts tomatoes thin and holds its edge
kitchen | cutting boards | cutting board, serving board | oak, olive wood, bamboo | 34 | - | 0 | knives, olive oils | carries bread and cheese from worktop to table
kitchen | coffee makers | coffee maker, moka pot | steel, glass, aluminium | 95 | - | -0.2 | coffee beans, mugs | brews a strong cup in four minutes
kitchen | mugs | mug, cup | stoneware, porcelain, enamel | 14 | - | -0.3 | coffee beans, teas | keeps the morning coffee hot
fashion | shirts | shirt, blouse | linen, cotton, silk | 42 | - | 0.4 | trousers, jackets | wears well at the desk and after it
fashion | trousers | trousers, chinos | cotton, wool, denim | 58 | - | 0 | shirts, sneakers | moves with you from the desk to dinner
fashion | jackets | jacket, coat | wool, denim, recycled nylon | 125 | - | -0.7 | scarves, boots | stops wind and light rain
fashion | dresses | dress, summer dress | linen, silk, cotton | 78 | - | 0.9 | handbags, lipsticks | swings through long evenings
fashion | scarves | scarf, shawl | wool, silk, cotton | 30 | - | -0.9 | jackets, handbags | wraps twice and still looks light
shoes and bags | sneakers | sneakers, trainers | canvas, suede, recycled nylon | 84 | - | 0.4 | shoe care, running shirts | walks all day on soft soles
shoes and bags | boots | boots, ankle boots | leather, suede, rubber | 135 | - | -0.8 | shoe care, trousers | grips wet pavement all winter
shoes and bags | backpacks | backpack, rucksack | canvas, recycled nylon, leather | 72 | - | 0.2 | water bottles, laptop sleeves | swallows a laptop, lunch and a jumper
shoes and bags | handbags | handbag, shoulder bag | leather, canvas, suede | 115 | - | 0.2 | scarves, perfumes | holds the day's small things in order
shoes and bags | shoe care | shoe polish, shoe cream | beeswax, cotton, brush hair | 11 | yes | -0.2 | boots, sneakers | feeds the upper and brings back the shine
beauty | face creams | face cream, moisturiser | shea butter, aloe, jojoba oil | 27 | yes | 0.1 | cleansers, perfumes | calms dry skin overnight
beauty | cleansers | cleanser, face wash | aloe, oat milk, clay | 18 | yes | 0.1 | face creams, shampoos | washes the day away without stinging
beauty | shampoos | shampoo, hair wash | oat milk, argan oil, aloe | 13 | yes | 0.1 | face creams, cleansers | leaves hair light and easy to comb
beauty | perfumes | perfume, eau de toilette | cedar, citrus, amber | 64 | - | 0 | lipsticks, face creams | opens bright and settles warm on the skin
beauty | lipsticks | lipstick, lip tint | beeswax, jojoba oil, shea butter | 17 | - | 0.2 | perfumes, cleansers | stays through dinner and a second coffee
sports | yoga mats | yoga mat, exercise mat | cork, natural rubber, jute | 45 | - | 0.1 | water bottles, dumbbells | grips when the hands get damp
sports | dumbbells | dumbbell, kettlebell | cast iron, neoprene, steel | 52 | - | -0.4 | yoga mats, protein bars | turns a corner of the room into a gym
sports | running shirts | running shirt, running top | merino, recycled nylon, mesh | 36 | - | 0.6 | water bottles, sneakers | dries before the cool-down is over
sports | water bottles | water bottle, drinking bottle | steel, glass, recycled plastic | 21 | - | 0.8 | protein bars, yoga mats | keeps water cold on a long run
sports | protein bars | protein bar, energy bar | oats, peanuts, dates | 9 | yes | 0.3 | running shirts, water bottles | helps over the last five kilometres
outdoor | tents | tent, trekking tent | recycled nylon, canvas, aluminium | 240 | - | 0.9 | sleeping bags, camp stoves | stands in three minutes and shrugs off a storm
outdoor | sleeping bags | sleeping bag, quilt | down, merino, recycled nylon | 130 | - | 0.7 | camp stoves, head torches | keeps you warm when the meadow freezes
outdoor | camp stoves | camp stove, gas cooker | titanium, steel, brass | 58 | - | 0.8 | head torches, coffee makers | boils a litre on a windy ridge
outdoor | hiking poles | hiking pole, trekking pole | carbon fibre, cork, aluminium | 66 | - | 0.6 | tents, backpacks | saves the knees on the way down
outdoor | head torches | head torch, lantern | aluminium, recycled plastic, rubber | 34 | - | 0.3 | tents, hiking poles | lights the path back to the hut
garden | planters | planter, flower pot | terracotta, stoneware, zinc | 29 | - | 0.7 | seeds, watering cans | gives herbs and tomatoes room for their roots
garden | seeds | seed box, flower seeds | paper, cotton, jute | 7 | yes | 0.6 | watering cans, garden tools | turns a bare bed into a meadow
garden | garden tools | trowel, garden fork | ash wood, steel, copper | 31 | - | 0.7 | seeds, planters | digs in heavy soil without bending
garden | watering cans | watering can, plant mister | zinc, copper, recycled plastic | 24 | - | 0.9 | seeds, garden lights | rains gently on seedlings
garden | garden lights | garden light, solar lantern | glass, zinc, bamboo | 39 | - | 0.8 | planters, candles | glows along the path until midnight
toys | building sets | building set, block set | beech wood, recycled plastic, cork | 44 | - | -0.3 | puzzles, board games | becomes a castle, a crane or a whale
toys | puzzles | puzzle, jigsaw | cardboard, beech wood, paper | 19 | - | -0.4 | board games, building sets | keeps four people at one table all afternoon
toys | board games | board game, strategy game | cardboard, beech wood, linen | 35 | - | -0.4 | puzzles, chocolates | plays in an hour and begs for a rematch
toys | plush animals | plush animal, cuddly toy | cotton, wool, velvet | 22 | - | -0.2 | building sets, craft kits | goes everywhere and survives the wash
toys | craft kits | craft kit, paint set | paper, cotton, beech wood | 25 | - | 0 | plush animals, puzzles | makes masks, kites and a happy mess
food | coffee beans | coffee beans, espresso beans | arabica, robusta, single origin | 13 | yes | -0.1 | mugs, chocolates | tastes of cocoa, cherry and toast
food | teas | tea, herbal tea | black tea, peppermint, camomile | 9 | yes | -0.4 | mugs, chocolates | steeps golden in three minutes
food | chocolates | chocolate, pralines | dark cocoa, hazelnut, sea salt | 11 | yes | -0.5 | coffee beans, teas | melts slowly on the tongue
food | olive oils | olive oil, herb oil | green olives, lemon, rosemary | 15 | yes | 0.2 | snacks, cutting boards | makes bread and tomatoes a meal
food | snacks | crackers, roasted nuts | oats, almonds, rye | 6 | yes | 0.1 | chocolates, olive oils | fills the bowl on film nights
"""


def _leaf(line: str) -> Leaf:
    category, name, nouns, materials, price, consumable, season, follows, use = (
        cell.strip() for cell in line.split("|")
    )
    return Leaf(
        category,
        name,
        tuple(nouns.split(", ")),
        tuple(materials.split(", ")),
        float(price),
        consumable == "yes",
        float(season),
        tuple(follows.split(", ")),
        use,
    )


LEAVES = tuple(_leaf(line) for line in _TABLE.strip().splitlines())
CATEGORIES = tuple(dict.fromkeys(leaf.category for leaf in LEAVES))
WEEKEND = {
    "toys": 0.9,
    "garden": 1.1,
    "outdoor": 0.8,
    "kitchen": 0.3,
    "computing": -1.0,
    "electronics": -0.5,
    "food": -0.4,
}
"""By how much a category's log-odds rise at the weekend: the context signal."""
