"""The public API and the command line use the words of papers, PyTorch, timm, scikit-learn and torchmetrics."""

import pytest

from structure.public_names import docstrings, help_texts, options, public_names, words_of

FIELD_TERMS = """
    accumulate, augmentation, backbone, batch size, blur, callback, captions, checkpoint, clip, crop,
    cross-entropy, data set, dataset, devices, early stopping, ema, embedding, encoder, epochs, feature map, gradient,
    imbalance, info nce, knn,
    label noise, learning rate, linear probe, logits, loggers, microbatch, modalities, momentum, negatives, num workers,
    optimizer, positives, precision, predictor, pretrained, projection, prototypes, pseudo label, queue, resume, rng,
    seed, similarity, sinkhorn, student, support, teacher, temperature, top1, transform, warm up, weight decay
"""
OLD_WORDS = """
    alike asked beside believed draws everyone follow guess guesses heard kept likeness mine place places player players
    remember said seat senses shown told turn turns unlike
"""
"""Words that once stood for fallback samples, modalities, EMA updates, pseudo-labels, RNGs and the like."""


@pytest.fixture(scope="module")
def texts():
    return help_texts()


@pytest.fixture(scope="module")
def names(texts):
    return public_names() | options(texts)


def test_terms_of_the_field_are_found_in_the_public_api_and_the_help(names, texts):
    spelled = [" ".join(words_of(name)) for name in names]
    text = " ".join([*spelled, docstrings(), *texts.values()]).lower()
    searched = " ".join(text.replace("_", " ").replace("-", " ").split())
    terms = [" ".join(term.replace("-", " ").split()) for term in FIELD_TERMS.split(",")]
    assert len(terms) >= 40
    assert [term for term in terms if term not in searched] == []


def test_no_public_name_or_option_has_a_word_of_the_old_dialect(names):
    old = set(OLD_WORDS.split())
    assert {name for name in names if old & set(words_of(name))} == set()
