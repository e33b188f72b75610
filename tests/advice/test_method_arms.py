"""How semi-supervised methods start within an advice."""

import pytest
import torch

from adaptation.coloured import coloured_images, encoder_of, only_first
from likewise.advice import method_arms
from likewise.advice.candidates import Cost, StartingPoint
from likewise.advice.trained_arms import Bench
from likewise.data.loader import Loader, Support
from likewise.encoders import choose_encoder
from likewise.methods import METHODS, Recipe

STILL = Recipe("sgd", learning_rate=0.0)


@pytest.fixture
def before_training(monkeypatch):
    """The networks that a method starts from, of a pretrained encoder or of a random one."""

    def build(name, pretrained):
        kept = []

        def look(fabric, method, nets, *others, **more):
            kept.append(nets)
            return train(fabric, method, nets, *others, **more)

        train = method_arms.train
        monkeypatch.setattr(method_arms, "train", look)
        images, labels = coloured_images(30)
        settings = choose_encoder("conv4", 32, (0.5,) * 3, (0.5,) * 3)
        settings = type(settings)(**{**vars(settings), "pretrained": pretrained})
        start = StartingPoint(encoder_of("conv4"), settings, images, Cost(0.0, 0.0))
        loader = Loader(images, only_first(labels, 21), 6, 0, Support(3, 2))
        bench = Bench(3, torch.device("cpu"), 0, 1)
        encoder, _ = method_arms.learn(METHODS[name](), start, loader, bench, STILL, 60.0)
        return kept[0], encoder, start

    return build


def accuracy(nets, start):
    images, labels = start.images, coloured_images(30)[1]
    nets.eval()
    with torch.no_grad():
        pixels = images.read(torch.arange(30)).images.float() / 255
        predicted = nets.classifier(nets.encoder(pixels)).argmax(dim=1)
    return float((predicted == labels).float().mean())


def test_from_weights_the_classifier_is_right_before_it_learns_and_statistics_stay(before_training):
    nets, encoder, start = before_training("fixmatch", "lite0")
    assert accuracy(nets, start) > 0.8 and accuracy(nets.teacher, start) > 0.8
    for name, tensor in start.encoder.named_buffers():
        assert torch.equal(encoder.get_buffer(name), tensor), name


def test_from_random_weights_statistics_are_those_of_the_images(before_training):
    nets, encoder, start = before_training("fixmatch", "")
    assert nets.frozen_bn_stats == ()
    changed = [
        name
        for name, tensor in start.encoder.named_buffers()
        if not torch.equal(encoder.get_buffer(name), tensor)
    ]
    assert changed


def test_a_method_without_a_classifier_keeps_the_statistics_too(before_training):
    _, encoder, start = before_training("suncet", "lite0")
    for name, tensor in start.encoder.named_buffers():
        assert torch.equal(encoder.get_buffer(name), tensor), name
