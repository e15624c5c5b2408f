"""The submission as the grader sees it: one target, its worker, what the worker says is in it, and how it is called.

Imports no torch, so that the worker can be started before this process loads it.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pytest_attn_grader.errors import SandboxUnavailableError, SubmissionError
from pytest_attn_grader.results.report import Sandbox
from pytest_attn_grader.results.submission import Adaptation, Construction, StudentInfo
from pytest_attn_grader.sandbox.tiers import Tier, choose_tier
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.candidates import choose_contract
from pytest_attn_grader.submission.constructor import Arguments
from pytest_attn_grader.submission.contract import AUTO_MASK, Contract
from pytest_attn_grader.submission.target import SOURCE_SUFFIXES, Target, hash_sources, read_sources
from pytest_attn_grader.submission.worker import SERVICE

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_attn_grader.settings.settings import Settings
    from pytest_attn_grader.submission.library_scan import LibraryScan
    from pytest_attn_grader.submission.remote.client import SandboxClient
    from pytest_attn_grader.submission.remote.messages import (
        CallReply,
        CallSpec,
        Constructed,
        Description,
        RemoteModule,
    )

# Training at the top level, most often: what is defined beside it may do without it.
_MAY_BE_TRAINING = frozenset({"timeout", "out-of-memory"})
T = TypeVar("T")


class Student:
    """One submission and the process that runs it.

    Args:
        call_seconds: wall clock of one forward or backward.
        run_seconds: wall clock of all of them together; None for any time.
        tier: the sandbox that was asked for.
        required_tier: the weakest one that will do.
        mask_convention: the one that is asked for, or "auto".
    """

    def __init__(
        self,
        target: Target,
        *,
        call_seconds: float,
        tier: str,
        run_seconds: float | None = None,
        required_tier: str | None = None,
        mask_convention: str = AUTO_MASK,
    ) -> None:
        self.target = target
        self.requested_tier = tier
        self.required_tier = required_tier
        self.mask_convention = mask_convention
        self.is_causal: bool | None = None  # of the graded model, where it is known
        self.library_calls: Counter[str] = Counter()
        self.limits = Limits(call_seconds=call_seconds, run_seconds=run_seconds)
        self._first_source: Mapping[Path, bytes] = {}
        self._first_worker: WorkerProcess | None = None
        self._remote: SandboxClient | None = None
        self._restarted: Student | None = None
        self._tier: Tier | None = None
        self._description: Description | None = None
        self._contract: Contract | None = None
        self.lengthened: Mapping[str, int] = {}  # constants of the file that say how long a text may be
        self._constructions: dict[str, Construction] = {}
        self._modules: dict[tuple[int, str | int], RemoteModule] = {}
        self._found: dict[Hashable, Any] = {}

    @classmethod
    def for_run(cls, target: Target, settings: Settings) -> Student:
        """The submission of a run."""
        return cls(
            target,
            call_seconds=settings.timeout_seconds,
            run_seconds=settings.budget_seconds,
            tier=settings.sandbox,
            required_tier=settings.require_sandbox,
            mask_convention=settings.mask,
        )

    def start(self) -> None:
        """Start the worker and return at once; where no worker is available, the first request fails."""
        with contextlib.suppress(SandboxUnavailableError):
            worker = self._make_worker()
            worker.start()
            self._first_worker = worker

    @property
    def tier(self) -> Tier:
        """The sandbox that the submission runs in.

        Raises:
            SandboxUnavailableError: no sandbox of the required strength is available.
        """
        if self._tier is None:
            self._tier = choose_tier(self.requested_tier, self.required_tier)
        return self._tier

    def _make_worker(self) -> WorkerProcess:
        root = self.target.root
        paths = [path for path in sys.path if path and Path(path).resolve() != root]
        if self.tier.name == "none":
            from pytest_attn_grader.submission.remote.in_process import InProcessWorker

            return InProcessWorker(root=root, import_paths=paths, limits=self.limits, module=self.target.live)
        bwrap = self.tier.name == "bwrap"
        return WorkerProcess(root=root, import_paths=paths, limits=self.limits, service=SERVICE, in_namespaces=bwrap)

    @property
    def remote(self) -> SandboxClient:
        """The worker's typed side; a dead worker is replaced at the next request."""
        if self._remote is None:
            from pytest_attn_grader.submission.remote.client import SandboxClient

            self._remote = SandboxClient(self._make_worker, worker=self._first_worker)
        return self._remote

    @property
    def description(self) -> Description:
        """The functions and classes that the submission defines.

        Raises:
            SubmissionError: it cannot be imported, or has nothing of the wanted name.
        """
        if self._description is None:
            self._first_source = read_sources(self.target)
            self._description = self._describe()
        return self._description

    def _describe(self) -> Description:
        """Import the submission; where the import does not end, only its definitions are run."""
        target = self.target
        describe = partial(self.remote.describe, path=str(target.path), module=target.module, name=target.name)
        try:
            return describe()
        except SubmissionError as failure:
            if failure.name not in _MAY_BE_TRAINING or target.path.suffix not in SOURCE_SUFFIXES:
                raise
            try:
                return describe(definitions_only=True)
            except SubmissionError:
                raise failure from None

    @property
    def contract(self) -> Contract:
        """The candidate to grade, and how to call it.

        Raises:
            SubmissionError: nothing in it can be called as attention.
            UsageError: several things can, and none was chosen.
        """
        if self._contract is None:
            self._contract = choose_contract(
                self.description, self.target, self.mask_convention, is_causal=self.is_causal
            )
        return self._contract

    def grade_as(self, contract: Contract) -> None:
        """Grade another candidate than the one that was chosen first."""
        self._contract = contract

    def scan_library(self) -> LibraryScan:
        """Scan its source for ready-made attention: its own file as it was before any of it ran."""
        from pytest_attn_grader.submission.library_scan import scan_sources

        return scan_sources({**read_sources(self.target, self.description.files), **self._first_source})

    def call(self, spec: CallSpec, tensors: Mapping[str, Tensor]) -> CallReply:
        """One forward pass in the worker; differentiable here when a tensor requires grad."""
        reply = self.remote.call_with_autograd(spec, tensors)
        self.library_calls.update(reply.library_calls)
        return reply

    def construct(self, name: str, arguments: Arguments, *, use: str = "") -> Constructed:
        """An instance of a class, made once for these arguments, and again when its worker was replaced.

        Args:
            use: tells two instances with the same arguments apart: a module may keep tables in the dtype of its first
                call.

        Raises:
            SubmissionError: its constructor raised.
        """
        key = f"{name}({arguments.key})"

        def construct() -> Constructed:
            made = self.remote.construct(name, **arguments.by_name)
            self.lengthened = made.lengthened
            self._constructions[key] = Construction(arguments=arguments.shown, config_read=dict(made.config_read))
            return made

        return self.find_once(("constructed", self.remote.generation, key, use), construct)

    def find_once(self, key: Hashable, find: Callable[[], T]) -> T:
        """The result of calls that are made once in a run, to find out how the submission works."""
        if key not in self._found:
            self._found[key] = find()
        return cast("T", self._found[key])

    def module(self, target: str | int, warm_up: tuple[CallSpec, dict[str, Tensor]] | None = None) -> RemoteModule:
        """A module's parameters. One with lazy layers is called with `warm_up` first, so that they have sizes."""
        key = (self.remote.generation, target)
        module = self._modules.get(key) or self.remote.module(target)
        if warm_up is not None and any(parameter.lazy for parameter in module.parameters):
            spec, tensors = warm_up
            self.remote.call(replace(spec, target=target), tensors)
            module = self.remote.module(target)
        self._modules[key] = module
        return module

    def sandbox(self) -> Sandbox:
        started = 0 if self._remote is None and self._first_worker is None else 1
        replaced = 0 if self._remote is None else self._remote.replacements
        return Sandbox(
            requested=self.requested_tier,
            required=self.required_tier,
            tier=None if self._tier is None else self._tier.name,
            reason="" if self._tier is None else self._tier.why,
            workers_started=started + replaced,
            limits=asdict(self.limits),
            unenforced=() if self._remote is None else self._remote.unenforced,
        )

    def info(self) -> StudentInfo:
        """The submission as the report shows it, as far as it is known by now."""
        files = () if self._description is None else self._description.files
        known: dict[str, Any] = {"sha256": hash_sources(self.target, files), "files": files}
        if self._description is not None:
            known["transformers_imported"] = self._description.transformers_imported
        if self._contract is not None:
            candidate = self._contract.candidate
            known |= {
                "name": candidate.name,
                "kind": self._contract.kind,
                "signature": candidate.signature,
                "where": None if candidate.line is None else f"{candidate.file}:{candidate.line}",
                "mask_convention": self._contract.mask_convention,
                "adaptations": tuple(Adaptation(name=name, why=why) for name, why in self._contract.notes),
            }
        return StudentInfo(
            target=self.target.typed,
            library_calls=dict(self.library_calls),
            captured_output="" if self._remote is None else self._remote.captured_output,
            constructed=tuple(self._constructions.values()),
            **known,
        )

    def prepare_restart(self) -> None:
        """Start the process of the next `restart` and return at once: it loads torch while this one is asked."""
        if self._restarted is None and self.tier.name != "none":
            self._restarted = self._copy()
            self._restarted.start()

    def restart(self, *, run_seconds: float | None = None) -> Student:
        """The same submission in another process, imported and ready; all its calls may take `run_seconds`."""
        other, self._restarted = self._restarted or self._copy(), None
        other.limits = replace(other.limits, run_seconds=run_seconds or other.limits.run_seconds)
        if other._first_worker is not None:  # its process does not know this limit: the client counts the seconds
            other._first_worker.limits = other.limits
        _ = other.description
        return other

    def _copy(self) -> Student:
        return Student(
            self.target,
            call_seconds=self.limits.call_seconds,
            run_seconds=self.limits.run_seconds,
            tier=self.requested_tier,
            required_tier=self.required_tier,
            mask_convention=self.mask_convention,
        )

    def close(self) -> None:
        """End the worker, and the one that was prepared."""
        if self._restarted is not None:
            self._restarted.close()
            self._restarted = None
        if self._remote is not None:
            self._remote.close()
        elif self._first_worker is not None:
            self._first_worker.kill()
