from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.remote.round_trips import RoundTrip, worker_seconds
from tests.support.students import REFERENCE

INPUTS = ("query", "key", "value")


@pytest.fixture
def reference_student(student_of: Callable[..., FunctionAttention]) -> FunctionAttention:
    """A submission of this test alone: the shared one is described again, on a trip more, after any other test's."""
    return student_of(REFERENCE)


def test_a_trip_is_noted_and_can_be_made_again(reference_student: FunctionAttention) -> None:
    remote = reference_student.student.remote
    query = torch.randn(1, 2, 256, 64)  # long enough for every clock
    with remote.record_round_trips() as trips:
        reference_student(query, query, query)
    (trip,) = trips
    assert trip.op == "call"
    assert {trip.sent[name] for name in INPUTS} == {(query.shape, torch.float32)}
    assert trip.sent["keep_mask"] == (torch.Size([1, 1, 256, 256]), torch.bool)
    assert trip.received["result.1"] == (torch.Size([1, 2, 256, 256]), torch.float32)
    assert 0 < trip.inside < trip.seconds
    assert {name: tensor.shape for name, tensor in trip.dummy_tensors.items()} == {
        name: shape for name, (shape, _) in trip.sent.items()
    }
    assert remote.echo(trip) > 0
    reference_student(query, query, query)
    assert len(trips) == 1, "noted only inside"


def test_forward_and_backward_are_trips_of_their_own(reference_student: FunctionAttention) -> None:
    query = torch.randn(1, 2, 5, 8, requires_grad=True)
    with reference_student.student.remote.record_round_trips() as trips:
        output = reference_student(query, query, query)[0]
        output.sum().backward()
    assert [trip.op for trip in trips] == ["call", "backward"]
    assert all(reference_student.student.remote.echo(trip) > 0 for trip in trips)


def test_an_echo_carries_as_many_bytes(reference_student: FunctionAttention) -> None:
    """Noted itself, an echo shows the same sizes each way."""
    remote = reference_student.student.remote
    sizes = {"a": (torch.Size([3, 4]), torch.bfloat16), "b": (torch.Size([2]), torch.bool)}
    trip = RoundTrip("call", sizes, {"c": (torch.Size([7]), torch.float64)}, 1.0, 0.5)
    _, received = remote._request(remote._ready(), trip.echo, trip.dummy_tensors)
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in received.items()} == dict(trip.received)


@pytest.mark.parametrize(
    ("said", "believed"), [(0.5, 0.5), (2.0, 1.0), (-1.0, 0.0), ("fast", 0.0), (None, 0.0), (float("nan"), 0.0)]
)
def test_what_a_worker_says_is_believed_as_far_as_it_can_be_true(said: object, believed: float) -> None:
    assert worker_seconds({"seconds": said}, 1.0) == believed


def test_a_worker_that_says_nothing() -> None:
    assert worker_seconds({}, 1.0) == 0.0
