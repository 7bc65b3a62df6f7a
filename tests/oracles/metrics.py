"""Ranking and beyond-accuracy metrics, one user and one place at a time, from their formulas."""

import math


def one_user(recommended: list[int], held_out: set[int], k: int) -> dict[str, float]:
    top = [i for i in recommended[:k] if i >= 0]
    hits = [j for j, item in enumerate(recommended[:k], start=1) if item >= 0 and item in held_out]
    precision, recall = len(hits) / k, len(hits) / len(held_out)
    dcg = sum(1 / math.log2(j + 1) for j in hits)
    ideal = sum(1 / math.log2(j + 1) for j in range(1, min(k, len(held_out)) + 1))
    at_hits = [sum(1 for h in hits if h <= j) / j for j in hits]
    return {
        "precision": precision,
        "recall": recall,
        "f1": 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall),
        "ndcg": dcg / ideal,
        "map": sum(at_hits) / min(k, len(held_out)),
        "mrr": 1 / hits[0] if hits else 0.0,
        "hit_rate": 1.0 if set(top) & held_out else 0.0,
    }


def gini(exposures: list[int]) -> float:
    """Half the relative mean absolute difference."""
    n, total = len(exposures), sum(exposures)
    return sum(abs(a - b) for a in exposures for b in exposures) / (2 * n * total)


def self_information(recommended: list[int], counts: list[int]) -> float:
    bits = [-math.log2(max(counts[i], 1) / sum(counts)) for i in recommended if i >= 0]
    return sum(bits) / len(bits)
