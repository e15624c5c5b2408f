"""One call with all tokens as several calls with a cache: the inputs of each and how its arguments differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from pytest_attn_grader.submission.cache_arguments import CacheStyle
from pytest_attn_grader.submission.projected import ProjectedInputs
from pytest_attn_grader.submission.remote.arguments import Argument, ComplexTensorRef, TensorRef, TupleArgument
from pytest_attn_grader.submission.remote.messages import CallSpec


def split_into_chunks(inputs: ProjectedInputs) -> Iterator[ProjectedInputs]:
    """Yield the inputs of each call: the new tokens, and the rows of the mask over all tokens so far."""
    for stop, length in zip(accumulate(inputs.chunks), inputs.chunks, strict=True):
        new = slice(stop - length, stop)
        states = inputs.key_states[:, new]
        yield replace(
            inputs,
            query_states=states,
            key_states=states,
            keep_mask=inputs.keep_mask[:, :, new, :stop],
            chunks=(),
            past=new.start,
        )


def with_cache(spec: CallSpec, style: CacheStyle, past: int) -> CallSpec:
    """Return the call with the arguments of its cache, in the places of those that are passed already."""
    given = style.arguments(past)
    arguments = tuple((name, given.pop(name, argument)) for name, argument in spec.arguments)
    keywords = {**dict(spec.keywords), **given}
    return replace(spec, arguments=arguments, keywords=tuple(keywords.items()))


def with_prefix(spec: CallSpec, prefix: str) -> CallSpec:
    """Return the call with this before the name of every tensor among its arguments."""

    def rename(argument: Argument) -> Argument:
        if isinstance(argument, TensorRef) and not argument.tensor.startswith("parameter."):
            return TensorRef(prefix + argument.tensor)
        if isinstance(argument, ComplexTensorRef):
            return ComplexTensorRef(prefix + argument.tensor)
        if isinstance(argument, TupleArgument):
            return TupleArgument(tuple(rename(item) for item in argument.items))  # type: ignore[misc]
        return argument

    arguments = tuple((name, rename(argument)) for name, argument in spec.arguments)
    keywords = tuple((name, rename(argument)) for name, argument in spec.keywords)
    return replace(spec, arguments=arguments, keywords=keywords)
