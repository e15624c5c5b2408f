"""One grading run: what is loaded once, asked for lazily and closed at the end. The story on one page.

The worker is started before this process imports torch, so that both load side by side. Then comes the model, then the
submission's contract, and from there every check asks for what it needs; each answer is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_attn_grader._utils.fork_cache import is_enabled
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.grading.loading import load_session_model
from pytest_attn_grader.grading.student import StudentUnderTest
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.attention.probes import Probe
    from pytest_attn_grader.grading import experiments
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.patched_models import PatchedModels
    from pytest_attn_grader.grading.speed import SpeedBenchmark
    from pytest_attn_grader.misconceptions.mismatches import PredictionCache
    from pytest_attn_grader.models.prompt import Prompt
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.submission.student_attention import StudentAttention
    from pytest_attn_grader.submission.target import Target

MAX_LIMIT_TOKENS = 1024
# Of the budget, for everything that comes after the diagnosis.
REPORT_RESERVE_SECONDS = 2.0


class GradingSession(StudentUnderTest):
    """Everything the checks of one run share: the submission, the model, and what comes of putting both together.

    Raises:
        UsageError: there is no such submission.
    """

    def __init__(self, settings: Settings, target: Target | None = None) -> None:
        super().__init__(settings, target)
        self._observations: dict[str, Observation] = {}
        self.continued: dict[bool, experiments.Continuations] = {}  # by whether they use the cache

    # --- what is loaded -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker, which imports torch by itself, and return at once."""
        with self.clock.phase("start worker"):
            self.student_process.start()

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model, its tokenizer and where they came from.

        Raises:
            UngradableError: the model cannot be had.
            UsageError: the layer is out of range.
        """
        return load_session_model(self.settings, self.clock, self.target)

    @cached_property
    def is_causal(self) -> bool:
        """Whether the model's attention hides the future; UngradableError when its architecture is not known."""
        from pytest_attn_grader.models.architectures import is_causal_model

        return is_causal_model(self.loaded.model)

    @property
    def rotary_base(self) -> float | None:
        """Base of the model's rotary positions, None without; UngradableError when its architecture is not known."""
        from pytest_attn_grader.models.architectures import find_architecture

        return find_architecture(self.loaded.model).rotary_base if self.is_causal else None

    @property
    def is_bidirectional(self) -> bool:
        """Whether every token is to see every other: without a mask, in a model that hides nothing."""
        return not self.is_causal and self.contract.mask_convention == "none"

    @cached_property
    def prompt(self) -> Prompt:
        """The prompt as the model's tokenizer cuts it.

        Raises:
            UsageError: it is too short to attend to anything, or longer than the model's context.
        """
        loaded = self.loaded  # first: it imports what comes here, too, and at full speed
        from pytest_attn_grader.models.prompt import tokenize_prompt

        return tokenize_prompt(self.settings.prompt, loaded)

    def prepare(self) -> None:
        """Load and check everything that is not the student's: after this, only the submission can fail.

        Raises:
            UsageError, UngradableError: see `loaded`, `prompt` and `contract`.
        """
        _ = self.prompt, self.is_causal
        # Several candidates are a question to whoever typed the command; every other fault of the contract is a result.
        _ = self.contract_failure

    # --- experiments --------------------------------------------------------------------------------------------------

    def observe(self, name: str, variant: str | None = None) -> Observation:
        """Put the probe of this name, or a variant of it (`probes.make_variant`), to the student, once."""
        key = name if variant is None else f"{name}:{variant}"
        if key not in self._observations:
            from pytest_attn_grader.attention.probes import make_variant

            probe = self._probe(name)
            self._observations[key] = self._observe(probe if variant is None else make_variant(probe, variant))
        return self._observations[key]

    @property
    def _context_limit(self) -> int:
        return min(MAX_LIMIT_TOKENS, int(self.loaded.model.config.max_position_embeddings))

    def _probe(self, name: str) -> Probe:
        from pytest_attn_grader.attention.probes import SPEC_BY_NAME, at_length, build_probe, probe_length

        length = probe_length(name, self._context_limit)
        spec = SPEC_BY_NAME[name] if length is None else at_length(SPEC_BY_NAME["single"], length)
        return build_probe(
            spec, seed=self.settings.seed, device=self.loaded.device, is_bidirectional=self.is_bidirectional
        )

    def _observe(self, probe: Probe) -> Observation:
        from pytest_attn_grader.grading.observation import Observation

        why_not = self.student.unsupported_reason(probe)
        if why_not is not None:
            raise NotApplicable(why_not)
        with self.clock.phase("probes"):
            return Observation(probe, self.student.run_probe(probe))

    def observe_training(self, probe: Probe, dropout_p: float, *, first_changed: int) -> experiments.TrainingRun:
        from pytest_attn_grader.grading.experiments import run_training

        with self.clock.phase("probes"):
            return run_training(self.student, probe, dropout_p, 0 if self.is_bidirectional else first_changed)

    def gradcheck(self) -> experiments.GradcheckResult:
        from pytest_attn_grader.grading.experiments import run_gradcheck

        with self.clock.phase("gradcheck"):
            return run_gradcheck(self.student, seed=self.settings.seed, is_bidirectional=self.is_bidirectional)

    def gradient_flow(self) -> experiments.GradientFlow:
        from pytest_attn_grader.grading.experiments import run_gradient_flow

        model, student_model = self.reference_model, self.student_model
        with self.clock.phase("model"):
            return run_gradient_flow(model, student_model, self.prompt.input_ids)

    def continuations(self, *, use_cache: bool) -> experiments.Continuations:
        from pytest_attn_grader.grading.experiments import run_continuations

        if use_cache not in self.continued:
            model, student_model = self.reference_model, self.student_model
            with self.clock.phase("model"):
                self.continued[use_cache] = run_continuations(
                    model, student_model, self.loaded.tokenizer, self.prompt.input_ids, use_cache=use_cache
                )
        return self.continued[use_cache]

    @cached_property
    def stopwatch(self) -> SpeedBenchmark:
        """Times student and reference at several lengths, no longer than the run may still take."""
        from pytest_attn_grader.grading.speed import SpeedBenchmark

        left, seed = self.seconds_left, self.settings.seed
        return SpeedBenchmark(
            self.student, self._context_limit, seed=seed, seconds=left, clock=self.clock, brief=is_enabled()
        )

    @property
    def seconds_left(self) -> float:
        """What the run may still take; below 0 when it has taken more."""
        return self.settings.budget_seconds - self.clock.elapsed_seconds

    @cached_property
    def replaced(self) -> PatchedModels:
        """The model with the student's attention in the graded layer, or in all of them."""
        from pytest_attn_grader.grading.patched_models import PatchedModels

        model = self.loaded.model
        chosen = range(int(model.config.num_hidden_layers)) if self.settings.all_layers else [self.settings.layer_idx]
        return PatchedModels(model, self.student, tuple(chosen))

    @property
    def student_model(self) -> PreTrainedModel:
        """The model with the student's attention."""
        with self.clock.phase("surgery"):
            return self.replaced.student_model

    @property
    def reference_model(self) -> PreTrainedModel:
        """What the student's model is compared with: the model, under the submission's restrictions if it has any."""
        with self.clock.phase("surgery"):
            return self.replaced.reference_model

    @property
    def comparison(self) -> Comparison:
        """Reference and student on the prompt, asked for once even if there is no answer.

        Raises:
            SubmissionError: the student's attention gave no answer inside the model.
        """
        if isinstance(self._compared, SubmissionError):
            raise self._compared
        return self._compared

    @cached_property
    def _compared(self) -> Comparison | SubmissionError:
        from pytest_attn_grader.grading.comparison import compare_on_prompt

        student, reference = self.student_model, replace(self.loaded, model=self.reference_model)
        with self.clock.phase("comparison"):
            try:
                return compare_on_prompt(reference, student, self.prompt, layer_idx=self.settings.layer_idx)
            except SubmissionError as error:
                return error

    def diagnosis(self, predictions: PredictionCache | None = None) -> Diagnosis | None:
        """Which known mistake the submission makes; None when none of its answers is wrong, or hints are off."""
        from pytest_attn_grader.grading.diagnosis import read_source_text, run_diagnosis, unfitted_attention
        from pytest_attn_grader.misconceptions.diagnose import diagnose_failure

        with self.clock.phase("diagnosis"):
            source = read_source_text(self.target)
            attention: StudentAttention | None = None
            if self.call_failure is None:
                attention = self.student
            elif self.contract_failure is None:
                attention = unfitted_attention(self.student_process, self.contract, self.call_failure)
            if attention is None:
                failure, hints = self.call_failure, self.settings.hints
                return None if failure is None else diagnose_failure(failure, hints=hints, source=source)
            return run_diagnosis(
                attention,
                seed=self.settings.seed,
                max_len=self._context_limit,
                device=self.loaded.device,
                hints=self.settings.hints,
                is_bidirectional=self.is_bidirectional,
                predictions=predictions,
                observed={name: each.student for name, each in self._observations.items()},
                seconds=self.seconds_left - REPORT_RESERVE_SECONDS,
                source=source,
            )

    @property
    def observations(self) -> Mapping[str, Observation]:
        """Every probe that was put to the student so far."""
        return self._observations

    def close(self) -> None:
        """End the worker and release the model's memory; safe to call twice."""
        if "student_process" in self.__dict__:
            self.student_process.close()
        if "loaded" in self.__dict__:
            from pytest_attn_grader.models.devices import release_memory

            device = self.loaded.device
            for name in ("loaded", "replaced"):
                self.__dict__.pop(name, None)
            release_memory(device)
