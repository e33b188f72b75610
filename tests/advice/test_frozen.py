"""Heads on frozen features."""

import torch

from likewise.adaptation import prototype_classifier
from likewise.advice.frozen import mean_of_heads, of_labelled, propagated


def blobs(classes=3, each=30):
    random = torch.Generator().manual_seed(0)
    truth = torch.arange(classes).repeat_interleave(each)
    centres = torch.randn(classes, 8, generator=random)
    return centres[truth] + torch.randn(len(truth), 8, generator=random), truth


def test_the_mean_of_heads_is_the_mean_of_their_standardised_logits():
    features, truth = blobs()
    labels = torch.full_like(truth, -1)
    labels[::5] = truth[::5]
    expected = torch.zeros(len(features), 3)
    for learner in (of_labelled, prototype_classifier, propagated):
        logits = learner(features, labels, 3)(features)
        logits = logits - logits.mean(dim=1, keepdim=True)
        expected += logits / logits.std() / 3
    found = mean_of_heads(features, labels, 3)
    assert all(parameter.is_leaf for parameter in found.parameters())
    torch.testing.assert_close(found(features), expected.detach(), rtol=1e-3, atol=1e-3)


def test_a_class_without_a_label_is_never_the_answer_and_spoils_no_other():
    features, truth = blobs()
    labels = torch.full_like(truth, -1)
    shown = (torch.arange(len(truth)) % 3 == 0) & (truth < 2)
    labels[shown] = truth[shown]
    answers = mean_of_heads(features, labels, 3)(features).argmax(dim=1)
    known = truth < 2
    assert (answers < 2).all()
    assert float((answers[known] == truth[known]).float().mean()) > 0.7
