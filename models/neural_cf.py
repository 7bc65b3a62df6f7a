"""Neural collaborative filtering (He, Liao, Zhang, Nie, Hu, Chua 2017), one file from the input to the score.

In: rows of users and items, and what is known of the moment and of both. Out: a score, higher = better, no probability.

B users of a step, N items of each, F width of an embedding, C numbers of context, H0 H1 H2 widths of the layers.

What is not as in the paper, and why:
- Both embeddings start from implicit ALS, and the perceptron from adding nothing. So the network starts as good as ALS,
  which is hard to beat (Rendle, Krichene, Zhang, Anderson 2020), and learns what to add; the paper starts from a
  trained product too (section 3.4.1).
- L2 draws the embeddings to where they started and not to 0 (Li, Grandvalet, Davoine 2018, L2-SP): `shift` is small.
- The first layer is two, one for what is known of the user and the moment, one for the item. Their sum is the layer
  over the concatenation; but the item's part is the same for everybody, and is computed once, at export.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ("NeuralCf",)


class Embedding(nn.Module):
    """A start that stays, and a shift that is learned."""

    start: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start)
        self.shift = nn.Embedding(start.shape[0], start.shape[1], sparse=True)  # a step touches few rows of it
        nn.init.zeros_(self.shift.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """Look rows up: (...) -> (..., F)."""
        embedding: Tensor = self.start[rows] + self.shift(rows)
        return embedding

    def table(self) -> Tensor:
        """Return all of it, (n, F)."""
        return self.start + self.shift.weight.detach()


class NeuralCf(nn.Module):
    """Weighted product of the embeddings, plus a perceptron over both and the context.

    Parameters
    ----------
    users, items : (n, F) float32, where the embeddings start.
    layers : widths of the hidden layers.
    dropout : share of units left out in training.
    user_context, item_context : how many numbers are known of the user and the moment, and of the item.
    scale : of the product at the start: what turns a dot product of about 0..1 into log-odds.
    """

    def __init__(
        self,
        users: Tensor,
        items: Tensor,
        layers: tuple[int, ...],
        *,
        dropout: float,
        user_context: int,
        item_context: int,
        scale: float,
    ) -> None:
        super().__init__()
        width = users.shape[1]
        self.users = Embedding(users)
        self.items = Embedding(items)
        self.product = nn.Parameter(torch.full((width,), scale))
        self.user_side = nn.Linear(width + user_context, layers[0])
        self.item_side = nn.Linear(width + item_context, layers[0], bias=False)
        self.hidden = nn.ModuleList(
            nn.Linear(wide, narrow) for wide, narrow in pairwise(layers)
        )
        self.last = nn.Linear(layers[-1], 1)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        with torch.no_grad():  # the perceptron sees embeddings as if they varied by 1, like the context
            for side, start in ((self.user_side, users), (self.item_side, items)):
                side.weight[:, :width] /= start.square().mean().sqrt().clamp_min(1e-6)

    def forward(self, user: Tensor, user_context: Tensor, item: Tensor, item_context: Tensor) -> Tensor:
        """Score N items of each of B users: user (B,), user_context (B, C), item (B, N), item_context (B, N, C)."""
        hidden, product = self.of_items(self.items(item), item_context)
        return self.head(self.users(user), user_context, hidden, product)

    def of_items(self, i: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what is the same for everybody, of embeddings (..., F): (..., H0) and (..., F)."""
        return self.item_side(torch.cat((i, context), -1)), i * self.product

    def head(self, u: Tensor, context: Tensor, hidden: Tensor, product: Tensor) -> Tensor:
        """Score: u (B, F), context (B, C), and of the items hidden (B, N, H0) and product (B, N, F)."""
        products = (u.unsqueeze(1) * product).sum(-1)  # (B, N), section 3.2
        about_user = self.user_side(torch.cat((u, context), -1))  # (B, H0)
        h = self.dropout(functional.relu(about_user.unsqueeze(1) + hidden))  # (B, N, H0), section 3.3
        for layer in self.hidden:
            h = self.dropout(functional.relu(layer(h)))  # (B, N, H1), (B, N, H2)
        score: Tensor = products + self.last(h).squeeze(-1)  # (B, N), section 3.4
        return score

    def drift(self, user: Tensor, item: Tensor) -> Tensor:
        """Measure how far the embeddings of these rows have gone from their start: mean squared length."""
        far: Tensor = self.users.shift(user).square().sum(-1).mean() + self.items.shift(item).square().sum(-1).mean()
        return far
