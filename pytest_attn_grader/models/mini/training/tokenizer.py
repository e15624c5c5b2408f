"""From text to tokens: the tokenizer is trained on generated text, and documents are packed into rows for training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pytest_attn_grader.models.mini.model import END_OF_TEXT

from .text import Piece

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

# Enough for every word of the generator to be met many times as one piece.
TOKENIZER_DOCUMENTS = 30_000
ENCODED_AT_ONCE = 2_000
# In rows for training, the bit of answer tokens, which follow from the text before them.
ANSWER_BIT = 1 << 15


def train_tokenizer(documents: Iterable[str], *, vocabulary_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer like GPT-2's: a word is one token together with the space before it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode_documents(tokenizer: Tokenizer, documents: Iterable[str]) -> Iterator[list[int]]:
    """The token ids of each document, each closed by the end-of-text token."""
    return encode_marked_documents(tokenizer, ([(document, False)] for document in documents))


def encode_marked_documents(tokenizer: Tokenizer, documents: Iterable[list[Piece]]) -> Iterator[list[int]]:
    """The same for documents in pieces; the tokens of marked pieces carry `ANSWER_BIT`.

    A piece begins with a space or a punctuation mark, where the tokenizer would part the whole text too.
    """
    end: int = tokenizer.token_to_id(END_OF_TEXT)  # type: ignore[assignment]  # every vocabulary here has it
    source = iter(documents)
    while batch := list(itertools.islice(source, ENCODED_AT_ONCE)):
        encodings = iter(tokenizer.encode_batch([piece for document in batch for piece, _ in document]))
        for document in batch:
            pieces = [(next(encodings).ids, is_answer) for _, is_answer in document]
            yield [*(token | ANSWER_BIT if is_answer else token for ids, is_answer in pieces for token in ids), end]


def pack_rows(documents: Iterable[list[int]], rows: int, row_len: int) -> NDArray[np.uint16]:
    """Rows of tokens, each beginning with the beginning of a document; what does not fit in a row is cut off.

    A row must not begin inside a document: prompts begin at position 0, and so must what the model has learnt from.
    """
    packed = np.zeros((rows, row_len), dtype=np.uint16)
    source = iter(documents)
    for row in packed:
        filled = 0
        while filled < row_len:
            document = next(source)[: row_len - filled]
            row[filled : filled + len(document)] = document
            filled += len(document)
    return packed


def repeat_random_tokens(
    rng: np.random.Generator, rows: int, row_len: int, vocabulary_size: int, *, period: int | None = None
) -> NDArray[np.uint16]:
    """Rows of random tokens of the whole vocabulary that repeat, each with another period unless one is given."""
    packed = np.empty((rows, row_len), dtype=np.uint16)
    for row in packed:
        own_period = period or int(rng.integers(4, row_len // 2 + 1))
        cycle = rng.integers(1, vocabulary_size, size=own_period)
        row[:] = np.resize(cycle, row_len)
    return packed
