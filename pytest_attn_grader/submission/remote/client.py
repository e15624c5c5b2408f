"""The grader's side of a submission: typed requests, checked replies, and a bridge through autograd.

What comes back is checked here for names, dtype, rank and layout before it is used. Values are not: NaN passes
through, and the checks judge it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote import reply_validation
from pytest_attn_grader.submission.remote.arguments import Argument
from pytest_attn_grader.submission.remote.autograd import RemoteFunction
from pytest_attn_grader.submission.remote.messages import (
    CachedReply,
    CallReply,
    CallSpec,
    Constructed,
    Description,
    RemoteModule,
    TensorMeta,
)
from pytest_attn_grader.submission.remote.reply_validation import refuse_malformed
from pytest_attn_grader.submission.remote.round_trips import RoundTrip, sizes_of, worker_seconds
from pytest_attn_grader.submission.remote.run_clock import RunClock


class SandboxClient:
    """A submission in a worker that is replaced when it dies.

    Every method raises `SubmissionError` for what the student's code does wrong. After a failure that ended the worker
    the next request starts another one, which imports the submission again.

    Args:
        make_worker: returns a new `WorkerProcess`, not necessarily started.
        worker: one that has been started already, to begin with.
    """

    def __init__(self, make_worker: Callable[[], WorkerProcess], *, worker: WorkerProcess | None = None) -> None:
        self._make_worker = make_worker
        self._worker = worker
        self._described_in: WorkerProcess | None = None
        self._wanted: dict[str, Any] | None = None
        self._released: deque[tuple[WorkerProcess, int]] = deque()
        self._printed = ""
        self._peak_rss_bytes: int | None = None
        self._last_failure: SubmissionError | None = None
        self._closed = False
        self._trips: list[RoundTrip] | None = None
        self._clock = RunClock()
        self.unenforced: tuple[str, ...] = ()
        self.replacements = 0

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def captured_output(self) -> str:
        """The output of the submission in all its workers."""
        return self._printed + ("" if self._worker is None else self._worker.captured_output)

    @property
    def spent_seconds(self) -> float:
        """Wall clock of all requests so far, in all its workers."""
        return self._clock.spent_seconds

    @property
    def peak_rss_bytes(self) -> int | None:
        """The most memory any of its workers has held, torch included."""
        now = None if self._worker is None else self._worker.peak_rss_bytes
        return max((size for size in (now, self._peak_rss_bytes) if size is not None), default=None)

    def describe(
        self,
        *,
        path: str | None = None,
        module: str | None = None,
        name: str | None = None,
        definitions_only: bool = False,
    ) -> Description:
        """Import the submission and say what is in it; every later worker imports the same again.

        Args:
            definitions_only: run nothing of the file but its definitions.
        """
        wanted = {"path": path, "module": module, "name": name, "definitions_only": definitions_only}
        self._wanted = {"op": "describe", **wanted}
        return self._describe(self._running())

    @property
    def generation(self) -> int:
        """Counts the workers; handles are good within one of them. A dead one is replaced by asking."""
        self._ready()
        return self.replacements

    def construct(self, name: str, *args: Argument, **kwargs: Argument) -> Constructed:
        """Make an instance of a class in the submission; its handle is good for the life of this worker."""
        header = {
            "op": "construct",
            "name": name,
            "args": [asdict(argument) for argument in args],
            "kwargs": {key: asdict(argument) for key, argument in kwargs.items()},
        }
        worker = self._ready()
        reply, _ = self._request(worker, header, {})
        with refuse_malformed(worker):
            return reply_validation.read_constructed(reply)

    def module(self, target: int | str) -> RemoteModule:
        """Say how a module is built: a constructed one, or one that the submission has under this name."""
        worker = self._ready()
        reply, _ = self._request(worker, {"op": "parameters", "target": target}, {})
        with refuse_malformed(worker):
            return reply_validation.read_module(reply)

    def parameter_values(self, handle: int | str) -> dict[str, Tensor]:
        """Return the parameters of a constructed object by name."""
        worker = self._ready()
        reply, received = self._request(worker, {"op": "parameters", "target": handle, "values": True}, {})
        with refuse_malformed(worker):
            return {each.name: received[each.name] for each in reply_validation.read_module(reply).parameters}

    def load(self, handle: int, tensors: Mapping[str, Tensor]) -> None:
        """Copy values into the parameters of these names; a name or shape that is not there is a failure."""
        self._request(self._ready(), {"op": "load", "target": handle}, tensors)

    def call(self, spec: CallSpec, tensors: Mapping[str, Tensor]) -> CallReply:
        """Call the submission; tensors come back on the device of the first one sent, without a graph."""
        worker = self._ready()
        reply, received = self._request(worker, spec.to_json(), tensors, seconds=spec.seconds)
        device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
        inputs = {name: tensors[name] for name in spec.requires_grad}
        with refuse_malformed(worker):
            read = reply_validation.read_call(reply, received, tuple(tensors) if spec.echo_inputs else ())
        # Metadata only: the graph here must not keep the inputs alive.
        shapes = {name: TensorMeta.of(tensor) for name, tensor in inputs.items()}
        return replace(read.to(device), inputs=shapes, worker=worker, seconds_limit=spec.seconds)

    def cached_calls(self, specs: Sequence[CallSpec], tensors: Mapping[str, Tensor], reset: str | None) -> CachedReply:
        """Call a copy of one object several times, each time with the cache of the call before; without gradients.

        Args:
            specs: the calls; target, parameters, mode, dtype and seed are those of the first one.
            reset: name of a method that empties the cache; another text comes before it.
        """
        worker = self._ready()
        calls = [spec.to_json() for spec in specs]
        header = {**specs[0].to_json(), "op": "cached_calls", "calls": calls, "reset": reset}
        reply, received = self._request(worker, header, tensors, seconds=specs[0].seconds)
        device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
        with refuse_malformed(worker):
            read = reply_validation.read_cached_calls(reply, received, len(specs))
        return replace(read, replies=tuple(each.to(device) for each in read.replies))

    def backward(
        self, reply: CallReply, gradients: Mapping[str, Tensor], *, retain: bool = False
    ) -> dict[str, Tensor | None]:
        """Return the gradient for each tensor of ``requires_grad``; None where the result does not depend on it.

        Args:
            reply: of a call with ``grad=True``.
            gradients: upstream gradients by result name; results left out count as zero.
            retain: keep the worker's graph for another backward.
        """
        if reply.handle is None or reply.worker is None:
            return dict.fromkeys(reply.inputs)
        if not reply.worker.usable:
            raise self._last_failure or SubmissionError("crashed", "The process that held this graph has ended.")
        header = {"op": "backward", "handle": reply.handle, "retain": retain}
        answer, received = self._request(reply.worker, header, gradients, seconds=reply.seconds_limit)
        with refuse_malformed(reply.worker):
            return reply_validation.read_gradients(answer, received, reply.inputs)

    def call_with_autograd(self, spec: CallSpec, tensors: Mapping[str, Tensor]) -> CallReply:
        """Call the submission so that autograd of this process runs through it.

        The result's tensors are differentiable with respect to the floating-point tensors that require grad here; one
        backward in this process is one backward in the worker. There is no second derivative.
        """
        wanted = tuple(name for name, tensor in tensors.items() if tensor.requires_grad)
        if not wanted or not torch.is_grad_enabled():
            return self.call(replace(spec, grad=False, requires_grad=()), tensors)
        spec = replace(spec, grad=True, requires_grad=wanted)
        kept: list[CallReply] = []
        outputs = RemoteFunction.apply(self, spec, tuple(tensors), kept, *tensors.values())  # type: ignore[no-untyped-call]
        reply = kept.pop()
        return replace(reply, tensors=dict(zip(reply.tensors, outputs, strict=True)), handle=None, worker=None)

    @contextmanager
    def record_round_trips(self) -> Iterator[list[RoundTrip]]:
        """Collect every trip to the worker that is made inside and comes back."""
        trips: list[RoundTrip] = []
        self._trips = trips
        try:
            yield trips
        finally:
            self._trips = None

    def echo(self, trip: RoundTrip) -> float:
        """Make a trip once more with as many bytes each way and nothing computed; return its seconds."""
        with self.record_round_trips() as trips:
            self._request(self._ready(), trip.echo, trip.dummy_tensors)
        return sum(each.seconds for each in trips if each.op == "echo")

    def release(self, reply: CallReply) -> None:
        """Forget the graph of a call, with the next request: a garbage collection during another one may call this."""
        if reply.handle is not None and reply.worker is not None:
            self._released.append((reply.worker, reply.handle))

    def close(self) -> None:
        """End the worker; what it printed and how much memory it took stay known."""
        self._closed = True
        if self._worker is not None:
            self._worker.kill()

    def _running(self) -> WorkerProcess:
        if self._closed:
            raise RuntimeError("this SandboxClient is closed")
        if self._worker is not None and self._worker.ended:
            self._peak_rss_bytes = self.peak_rss_bytes
            self._printed = self.captured_output[: self._worker.limits.output_bytes]
            self._printed += "\n" if self._printed and not self._printed.endswith("\n") else ""
            self._worker = None
            self.replacements += 1
        if self._worker is None:
            self._worker = self._make_worker()
        if self.replacements:
            self._clock.limit(self._worker.limits.start_seconds, self._worker.limits.run_seconds)
        if not self._worker.usable:
            self._worker.start()
        return self._worker

    def _ready(self) -> WorkerProcess:
        worker = self._running()
        if self._described_in is not worker:
            if self._wanted is None:
                raise RuntimeError("describe() comes first: nothing has been imported")
            self._describe(worker)
        return worker

    def _describe(self, worker: WorkerProcess) -> Description:
        assert self._wanted is not None
        reply, _ = self._request(worker, self._wanted, {}, seconds=worker.limits.import_seconds)
        with refuse_malformed(worker):
            description = reply_validation.read_description(reply)
        self._described_in = worker
        self.unenforced = worker.unenforced
        return description

    def _request(
        self,
        worker: WorkerProcess,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        seconds: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        handles = [handle for owner, handle in self._take_released() if owner is worker]
        # Always cloned: contiguous, without a graph, and sharing no memory, which safetensors refuses.
        sent = {
            name: each.detach().cpu().clone(memory_format=torch.contiguous_format) for name, each in tensors.items()
        }
        if self.replacements == 0:
            # The first start is not charged to the submission; a later one is: the submission has ended its worker.
            worker.wait_until_ready()
        started = time.perf_counter()
        try:
            run_seconds = worker.limits.run_seconds
            worker.wait_until_ready(self._clock.limit(worker.limits.start_seconds, run_seconds))
            seconds = self._clock.limit(worker.limits.call_seconds if seconds is None else seconds, run_seconds)
            reply = worker.request({**header, "release": handles} if handles else header, sent, seconds=seconds)
        except SubmissionError as error:
            self._last_failure = error
            raise
        finally:
            self._clock.spent_seconds += time.perf_counter() - started
        if self._trips is not None:
            seconds = time.perf_counter() - started
            inside = worker_seconds(reply[0], seconds)
            self._trips.append(RoundTrip(header["op"], sizes_of(sent), sizes_of(reply[1]), seconds, inside))
        return reply

    def _take_released(self) -> list[tuple[WorkerProcess, int]]:
        taken = []
        while self._released:
            taken.append(self._released.popleft())
        return taken
