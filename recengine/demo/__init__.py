"""The seeded shop of `make demo`: fictional goods and shoppers, with structure that every kind of model can find."""

from recengine.demo.shop import ShopFiles, describe, generate

__all__ = ("ShopFiles", "describe", "generate")
