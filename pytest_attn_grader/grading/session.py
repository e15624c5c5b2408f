"""One grading run: what is loaded once, when it is first needed, and closed at the end.

The worker is started before this process imports torch, so that both load side by side. Then comes the model, then the
submission's contract. After that every check asks for what it needs, and each result is computed once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_attn_grader._utils.fork_cache import is_enabled
from pytest_attn_grader._utils.lazy import Lazy
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import NotApplicable
from pytest_attn_grader.grading.loading import load_session_model
from pytest_attn_grader.grading.student import StudentUnderTest
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.results.comparison import Comparison
from pytest_attn_grader.results.report import Diagnosis
from pytest_attn_grader.settings.settings import Settings
from pytest_attn_grader.submission.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.attention.probes import Probe
    from pytest_attn_grader.grading import experiments
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.own_projections import OwnProjections
    from pytest_attn_grader.grading.patched_models import PatchedModels
    from pytest_attn_grader.grading.speed import SpeedBenchmark
    from pytest_attn_grader.misconceptions.mismatches import PredictionCache
    from pytest_attn_grader.models.architectures import LayerSteps
    from pytest_attn_grader.models.prompt import Prompt
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.submission.student import Student

MAX_LIMIT_TOKENS = 1024


class GradingSession:
    """Everything the checks of one run share: the submission, the model, and the experiments with both.

    Args:
        target, process: see `StudentUnderTest`.
        loaded: the model, when it is loaded already.

    Attributes:
        observations: every probe that was put to the student so far, by name.
        continuations: of the prompt by both models, by whether they use the cache.
        own_projections: of the submission, where they were run.

    Raises:
        UsageError: there is no such submission.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        target: Target | None = None,
        process: Student | None = None,
        loaded: LoadedModel | None = None,
    ) -> None:
        self.settings = settings
        self.clock = PhaseClock()
        self.submission = StudentUnderTest(settings, self.clock, self.layer_steps, target=target, process=process)
        self.lazy_model: Lazy[LoadedModel] = Lazy(self._load_model, loaded)
        self.lazy_prompt: Lazy[Prompt] = Lazy(self._tokenize_prompt)
        self.lazy_patched: Lazy[PatchedModels] = Lazy(self._patch_models)
        self.own_projections: OwnProjections | None = None
        self.observations: dict[str, Observation] = {}
        self.continuations: dict[bool, experiments.Continuations] = {}
        self._comparison: Lazy[Comparison | SubmissionError] = Lazy(self._compare)

    def start(self) -> None:
        """Start the worker, which imports torch by itself, and return at once."""
        with self.clock.phase("start worker"):
            self.submission.process.start()

    def prepare(self) -> None:
        """Load and check everything that is not the student's: after this, only the submission can fail.

        Raises:
            UsageError: layer or prompt cannot be used, or the submission has several candidates.
            UngradableError: the model is not available, or its architecture is not supported.
        """
        self.lazy_prompt.get()
        self.submission.process.is_causal = self.is_causal
        # Several candidates are a question to the user; every other fault of the contract is a result.
        _ = self.submission.contract_failure

    @property
    def loaded(self) -> LoadedModel:
        """The model, its tokenizer and where they came from; raises as `load_session_model`."""
        return self.lazy_model.get()

    def _load_model(self) -> LoadedModel:
        return load_session_model(self.settings, self.clock, self.submission.target)

    @property
    def prompt(self) -> Prompt:
        """The prompt as the model's tokenizer cuts it; UsageError when it is too short or too long."""
        return self.lazy_prompt.get()

    def _tokenize_prompt(self) -> Prompt:
        loaded = self.loaded  # first: loading imports everything below at full speed
        from pytest_attn_grader.models.prompt import tokenize_prompt

        return tokenize_prompt(self.settings.prompt, loaded)

    @cached_property
    def is_causal(self) -> bool:
        """Whether the model's attention hides the future; UngradableError when its architecture is not known."""
        from pytest_attn_grader.models.architectures import is_causal_model

        return is_causal_model(self.loaded.model)

    def layer_steps(self) -> LayerSteps:
        """The steps of the graded layer that a module takes itself."""
        from pytest_attn_grader.models.architectures import find_architecture

        layer_idx, all_layers = self.settings.layer_idx, self.settings.all_layers
        return find_architecture(self.loaded.model).layer_steps(layer_idx, all_layers=all_layers)

    def run_probe(self, name: str, variant: str | None = None) -> Observation:
        """Put a probe, or a variant of it (`probes.make_variant`), to the student; the same one only once.

        Raises:
            NotApplicable: the submission cannot take this probe; the message says why.
        """
        key = name if variant is None else f"{name}:{variant}"
        if key not in self.observations:
            from pytest_attn_grader.attention.probes import make_variant
            from pytest_attn_grader.grading.observation import Observation

            probe = self._build_probe(name)
            probe = probe if variant is None else make_variant(probe, variant)
            attention = self.submission.attention
            reason = attention.unsupported_reason(probe)
            if reason is not None:
                raise NotApplicable(reason)
            with self.clock.phase("probes"):
                self.observations[key] = Observation(probe, attention.run_probe(probe))
        return self.observations[key]

    @property
    def is_wrong_at_first(self) -> bool:
        """Whether the first probe has an answer and it is not the reference's."""
        first = self.observations.get("basic")
        return first is not None and not first.is_right

    @property
    def context_limit(self) -> int:
        """The longest text that is asked about, in tokens."""
        return min(MAX_LIMIT_TOKENS, int(self.loaded.model.config.max_position_embeddings))

    def _build_probe(self, name: str) -> Probe:
        from pytest_attn_grader.attention.probes import spec_named

        takes_hidden_states = self.submission.contract.kind != "function"
        spec = spec_named(name, self.context_limit, for_hidden_states=takes_hidden_states)
        probe = self.submission.attention.make_probe(spec, seed=self.settings.seed)
        window = self.layer_steps().sliding_window
        return probe if probe.sliding_window == window else probe.with_sliding_window(window)

    def run_training(self, probe: Probe, dropout_p: float, *, first_changed: int) -> experiments.TrainingRun:
        """Call the student in train mode, with other seeds and another future."""
        from pytest_attn_grader.grading.experiments import run_training

        with self.clock.phase("probes"):
            attention = self.submission.attention
            return run_training(attention, probe, dropout_p, 0 if attention.is_bidirectional else first_changed)

    def run_gradcheck(self) -> experiments.GradcheckResult:
        """Compare the student's gradients with finite differences."""
        from pytest_attn_grader.grading.experiments import run_gradcheck

        with self.clock.phase("gradcheck"):
            attention, seed = self.submission.attention, self.settings.seed
            return run_gradcheck(attention, seed=seed)

    def run_gradient_flow(self) -> experiments.GradientFlow:
        """Send the loss of the prompt back through both models."""
        from pytest_attn_grader.grading.experiments import run_gradient_flow

        model, student_model = self.reference_model, self.student_model
        with self.clock.phase("model"):
            return run_gradient_flow(model, student_model, self.prompt.input_ids)

    def run_continuations(self, *, use_cache: bool) -> experiments.Continuations:
        """Let both models continue the prompt; with the same setting only once."""
        from pytest_attn_grader.grading.experiments import run_continuations

        if use_cache not in self.continuations:
            model, student_model = self.reference_model, self.student_model
            known = self.continuations.get(not use_cache)
            with self.clock.phase("model"):
                self.continuations[use_cache] = run_continuations(
                    model,
                    student_model,
                    self.loaded.tokenizer,
                    self.prompt.input_ids,
                    use_cache=use_cache,
                    reference=None if known is None else known.reference,
                )
        return self.continuations[use_cache]

    @cached_property
    def speed_benchmark(self) -> SpeedBenchmark:
        """Times student and reference at several lengths, within the time that the run has left."""
        from pytest_attn_grader.grading.speed import SpeedBenchmark

        attention, limit = self.submission.attention, self.context_limit
        seed, left = self.settings.seed, self.seconds_left
        return SpeedBenchmark(attention, limit, seed=seed, seconds=left, clock=self.clock, brief=is_enabled())

    @property
    def seconds_left(self) -> float:
        """The rest of the run's budget. It may be below 0."""
        return self.settings.budget_seconds - self.clock.elapsed_seconds

    @property
    def patched(self) -> PatchedModels:
        """The model with the student's attention in the graded layer, or in all of them."""
        return self.lazy_patched.get()

    def _patch_models(self) -> PatchedModels:
        from pytest_attn_grader.grading.patched_models import PatchedModels

        model = self.loaded.model
        chosen = range(int(model.config.num_hidden_layers)) if self.settings.all_layers else [self.settings.layer_idx]
        return PatchedModels(model, self.submission.attention, tuple(chosen))

    @property
    def student_model(self) -> PreTrainedModel:
        """The model with the student's attention."""
        with self.clock.phase("patching"):
            return self.patched.student_model

    @property
    def reference_model(self) -> PreTrainedModel:
        """The model that the student's is compared with, under the submission's restrictions if it has any."""
        with self.clock.phase("patching"):
            return self.patched.reference_model

    @property
    def comparison(self) -> Comparison:
        """Reference and student on the prompt, computed once even if there is no answer.

        Raises:
            SubmissionError: the student's attention gave no answer inside the model.
        """
        found = self._comparison.get()
        if isinstance(found, SubmissionError):
            raise found
        return found

    def _compare(self) -> Comparison | SubmissionError:
        from pytest_attn_grader.grading.comparison import compare_on_prompt

        reference, student_model = replace(self.loaded, model=self.reference_model), self.student_model
        with self.clock.phase("comparison"):
            try:
                return compare_on_prompt(
                    reference,
                    student_model,
                    self.prompt,
                    layer_idx=self.settings.layer_idx,
                    original=self.loaded,
                    layers=self.patched.layers,
                )
            except SubmissionError as error:
                return error

    def diagnose(self, predictions: PredictionCache | None = None) -> Diagnosis | None:
        """Name the known mistake that the submission makes; None when no answer is wrong, or hints are off."""
        from pytest_attn_grader.grading.diagnosis import diagnose_session

        with self.clock.phase("diagnosis"):
            return diagnose_session(self, predictions)

    def close(self) -> None:
        """End the worker and release the model's memory; safe to call twice."""
        self.submission.close()
        loaded = self.lazy_model.peek()
        if loaded is not None:
            from pytest_attn_grader.models.devices import release_memory

            self.lazy_model.clear()
            self.lazy_patched.clear()
            release_memory(loaded.device)
