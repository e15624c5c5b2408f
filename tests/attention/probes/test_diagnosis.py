"""The probes of the diagnosis, by what a submission can be asked."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.attention.probes import (
    LOW_DROPOUT_P,
    PROBE_SPECS,
    TRAIN_DROPOUT_P,
    Capabilities,
    diagnosis_probes,
)


def test_every_ordinary_probe_and_a_second_call():
    names = [probe.name for probe in diagnosis_probes(3)]
    assert names == [*(spec.name for spec in PROBE_SPECS), "basic-again"]


def test_training_only_with_a_dropout_parameter():
    by_name = {
        probe.name: probe
        for probe in diagnosis_probes(3, Capabilities(takes_dropout=True, off_dropout_p=TRAIN_DROPOUT_P))
    }
    assert (by_name["basic-eval"].dropout_p, by_name["basic-eval"].training) == (TRAIN_DROPOUT_P, False)
    assert (by_name["basic-train"].dropout_p, by_name["basic-train"].training) == (TRAIN_DROPOUT_P, True)
    assert (by_name["basic-train-low"].dropout_p, by_name["basic-train-low"].training) == (LOW_DROPOUT_P, True)
    assert "basic-eval" not in [probe.name for probe in diagnosis_probes(3, Capabilities(takes_dropout=True))]


def test_the_same_question_with_other_random_numbers():
    by_name = {probe.name: probe for probe in diagnosis_probes(3, Capabilities(takes_dropout=True))}
    for first, again in (("basic", "basic-again"), ("basic-train", "basic-train-again")):
        assert torch.equal(by_name[first].query, by_name[again].query)
        assert by_name[first].seed != by_name[again].seed


def test_a_submission_without_a_mask_is_not_asked_what_it_cannot_know():
    names = {probe.name for probe in diagnosis_probes(3, Capabilities(takes_mask=False))}
    assert not names & {"left-padding", "chunk"}
    assert {"basic", "decode", "square"} <= names


@pytest.mark.parametrize("max_len", [16, 64])
def test_no_probe_is_longer_than_the_model(max_len):
    assert max(probe.key.shape[-2] for probe in diagnosis_probes(3, Capabilities(max_len=max_len))) <= max_len


@pytest.mark.parametrize("seed", range(8))
def test_large_scores_show_a_fill_that_is_not_negative_enough_with_every_seed(seed):
    probe = next(probe for probe in diagnosis_probes(seed) if probe.name == "large-scores")
    scores = probe.query @ probe.key.mT / probe.query.shape[-1] ** 0.5
    assert float(scores[:, :, 0, 0].max()) < -150
    # A fill of -1e4 is right, and must stay so.
    assert float(scores.min()) > -5000
