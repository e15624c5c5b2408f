"""The baseline against its formula written out in dictionaries."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from pytest_attn_grader.models.mini.training.trigram import KneserNeyTrigram

VOCABULARY_SIZE = 6
TEXT = [1, 2, 3, 1, 2, 4, 1, 2, 3, 5, 1, 4, 4, 2, 3, 1, 2, 3, 3, 0, 1, 2, 5, 0, 4, 1]


def brute_force(first: int, second: int, third: int) -> float:
    """Interpolated Kneser-Ney, term by term."""
    trigrams = Counter(zip(TEXT, TEXT[1:], TEXT[2:], strict=False))
    bigrams: Counter[tuple[int, ...]] = Counter()
    unigrams: Counter[tuple[int, ...]] = Counter()
    for gram in trigrams:
        bigrams[gram[1:]] += 1
    for gram in bigrams:
        unigrams[gram[1:]] += 1
    probability = 1 / VOCABULARY_SIZE
    for counts, gram in ((unigrams, (third,)), (bigrams, (second, third)), (trigrams, (first, second, third))):
        once = sum(count == 1 for count in counts.values())
        twice = sum(count == 2 for count in counts.values())
        discount = once / (once + 2 * twice) if once else 0.5
        followers = defaultdict(list)
        for seen, count in counts.items():
            followers[seen[:-1]].append(count)
        after = followers[gram[:-1]]
        if after:
            discounted = max(counts[gram] - discount, 0) if gram in counts else 0
            probability = (discounted + discount * len(after) * probability) / sum(after)
    return probability


@pytest.fixture(scope="module")
def trigram() -> KneserNeyTrigram:
    return KneserNeyTrigram(np.array(TEXT), VOCABULARY_SIZE)


def every_gram() -> np.ndarray:
    return np.array(list(np.ndindex(VOCABULARY_SIZE, VOCABULARY_SIZE, VOCABULARY_SIZE)))


def test_probabilities_equal_the_formula_for_seen_and_unseen_grams(trigram: KneserNeyTrigram) -> None:
    grams = every_gram()
    expected = [brute_force(*gram) for gram in grams.tolist()]

    assert trigram.probabilities(*grams.T) == pytest.approx(expected)


def test_probabilities_after_any_two_tokens_sum_to_one(trigram: KneserNeyTrigram) -> None:
    sums = trigram.probabilities(*every_gram().T).reshape(-1, VOCABULARY_SIZE).sum(axis=1)

    assert sums == pytest.approx(np.ones(VOCABULARY_SIZE**2))


def test_every_token_has_a_probability(trigram: KneserNeyTrigram) -> None:
    assert trigram.probabilities(*every_gram().T).min() > 0


def test_loss_is_the_mean_over_all_tokens_but_the_first_of_each_row(trigram: KneserNeyTrigram) -> None:
    rows = np.array([[1, 2, 3], [4, 4, 2]])
    grams = [(0, 1, 2), (1, 2, 3), (0, 4, 4), (4, 4, 2)]
    expected = -np.mean([np.log(brute_force(*gram)) for gram in grams])

    assert trigram.loss(rows, before=0) == pytest.approx(expected)
