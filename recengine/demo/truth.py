# ruff: noqa: E501 - sentences
"""The demo shop's ground truth in words: what is there to find, and for whom.

Stands under `shop.py`, whose `describe` returns it beside the counts. The numbers are those of the simulation's own
constants.
"""

__all__ = ("TRUTH",)

TRUTH = {
    "taste": "users are sparse mixtures of 14 personas over leaves, 8 styles, 5 audiences and 8 hidden dimensions that no "
    "column tells: collaborative models can find all of it, content models the first three",
    "demographics": "age, gender, country and device tilt the mixture, so they predict the taste of a cold user",
    "content": "category, brand, tags, words and picture tell an item's leaf, style, material, colour and audience",
    "popularity": "Zipf-like appeal, and a shop window that shows the day's favourites first",
    "drift": "styles and leaves have seasons, items rise, fade and get a boost after release, and a quarter of the users "
    "change their mixture over the window",
    "sequence": "of the steps in a session 30 % go to one of three companions of the last item, and 42 % to a leaf that "
    "follows its leaf",
    "sessions": "a session has one intent (a persona); evenings and weekends are busy; weekends favour garden, toys and "
    "outdoor, phones favour fashion and beauty, desktops computing",
    "price": "users have a price level; carts and purchases weigh the price against a personal sensitivity",
    "repeats": "six of ten buyers of a consumable buy it again after 26 days or so",
    "opinions": "ratings are quality + taste + noise; dislikes and blocks fall on items that do not fit; ignores fall on "
    "shown items that were passed over",
    "cold": "3 % of the users never come and others once or twice; 3 % of the items appear in the last four days; 2 % are "
    "sold out",
}
