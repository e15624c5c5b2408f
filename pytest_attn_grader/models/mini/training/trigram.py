"""The baseline: an interpolated Kneser-Ney trigram model over the same tokens.

Kneser and Ney, "Improved backing-off for m-gram language modeling" (1995), in the interpolated form of Chen and Goodman
(1998) with one discount for each order, n1 / (n1 + 2 n2). The lowest order is mixed with the uniform distribution, so
every token has a probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Counts:
    """Counts by code; codes are sorted, and a code that is not there counts 0."""

    codes: Integers
    counts: Integers

    @classmethod
    def of(cls, codes: Integers) -> _Counts:
        """Count each code."""
        return cls(*np.unique(codes, return_counts=True))

    def look_up(self, codes: Integers) -> Integers:
        """The count of each code."""
        places = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[places] == codes, self.counts[places], 0)


class _NgramOrder:
    """One order of the model: what a context has been followed by, discounted, and what is left for the order below."""

    def __init__(self, grams: _Counts, vocabulary_size: int) -> None:
        self.grams = grams
        contexts, source_location = np.unique(grams.codes // vocabulary_size, return_inverse=True)
        self.totals = _Counts(contexts, np.bincount(source_location, weights=grams.counts).astype(np.int64))
        self.kinds = _Counts(contexts, np.bincount(source_location))
        once, twice = int((grams.counts == 1).sum()), int((grams.counts == 2).sum())
        # a text without any rare gram gives nothing to estimate the discount from; half a count is the usual middle
        self.discount = once / (once + 2 * twice) if once else 0.5

    def interpolate(self, contexts: Integers, grams: Integers, below: Floats) -> Floats:
        """The probabilities of this order; a context that was never seen leaves everything to the order below."""
        totals = self.totals.look_up(contexts)
        discounted = np.maximum(self.grams.look_up(grams) - self.discount, 0.0)
        left_over = self.discount * self.kinds.look_up(contexts)
        seen = np.maximum(totals, 1)
        return np.where(totals > 0, discounted / seen + left_over / seen * below, below)


class KneserNeyTrigram:
    """p(third | first, second), learnt from one long sequence of tokens."""

    def __init__(self, tokens: Integers, vocabulary_size: int) -> None:
        self.vocabulary_size = size = vocabulary_size
        trigrams = _Counts.of((tokens[:-2] * size + tokens[1:-1]) * size + tokens[2:])
        # below the highest order, a gram counts once for each different token it was seen after
        bigrams = _Counts.of(trigrams.codes % (size * size))
        unigrams = _Counts.of(bigrams.codes % size)
        self.orders = tuple(_NgramOrder(grams, size) for grams in (unigrams, bigrams, trigrams))

    def probabilities(self, first: Integers, second: Integers, third: Integers) -> Floats:
        """The probability of each third token after its two predecessors."""
        size = self.vocabulary_size
        result = np.full(len(third), 1 / size)
        contexts = (np.zeros_like(second), second, first * size + second)
        for order, context in zip(self.orders, contexts, strict=True):
            result = order.interpolate(context, context * size + third, result)
        return result

    def loss(self, rows: Integers, *, before: int) -> float:
        """The mean of -log p over all tokens but each row's first, in nats; `before` stands before every row."""
        first = np.concatenate([np.full((len(rows), 1), before), rows[:, :-2]], axis=1)
        probabilities = self.probabilities(first.ravel(), rows[:, :-1].ravel(), rows[:, 1:].ravel())
        return float(-np.log(probabilities).mean())
