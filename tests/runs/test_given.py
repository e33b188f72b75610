"""What is given to `likewise.train` as objects: a network of one's own, views of one's own, a run as the start."""

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

import likewise as lw
from likewise.errors import LikewiseError

SIZE = 16


class Small(nn.Module):
    """[B, 3, S, S] -> [B, 12]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3)
        )

    def forward(self, pixels):
        return self.layers(pixels).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    images = torch.randint(0, 128, (80, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    return images + 60 * labels[:, None, None, None].to(torch.uint8), labels


def settings(**changes):
    return {
        "method": "simclr",
        "steps": 3,
        "batch_size": 16,
        "num_workers": 0,
        "loggers": (),
    } | changes


def test_a_module_is_trained_scored_and_loaded(data, tmp_path):
    module = Small()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = lw.train(data, encoder=module, out=tmp_path / "run", **settings())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert 0 <= run.scores["linear_top1"] <= 1
    loaded = lw.load(tmp_path / "run")  # a class without arguments is built from its name
    assert loaded.encoder.width == 12
    trained = loaded.encoder.network.layers[0].weight
    assert not torch.equal(trained, module.layers[0].weight)
    assert loaded.embed(data[0]).vectors.shape == (80, 12)
    assert set(loaded.nets.encoder.state_dict()) == set(loaded.encoder.state_dict())
    again = lw.load(tmp_path / "run", encoder=Small())
    assert torch.equal(again.encoder.network.layers[0].weight, trained)


def test_a_class_that_cannot_be_built_again_is_passed(data, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 10, 3))
    run = lw.train(data, encoder=module, out=tmp_path / "run", **settings())
    assert run.encoder.width == 10
    with pytest.raises(LikewiseError, match="encoder=module"):
        _ = lw.load(tmp_path / "run").encoder
    assert lw.load(tmp_path / "run", encoder=module).encoder.width == 10


def test_the_start_is_the_module_as_it_was_given(data, tmp_path):
    torch.manual_seed(3)
    run = lw.train(data, encoder=Small(), out=tmp_path / "a", **settings(steps=1))
    torch.manual_seed(3)
    again = lw.train(data, encoder=Small(), out=tmp_path / "b", **settings(steps=1))
    other = lw.train(data, encoder=Small(), out=tmp_path / "c", **settings(steps=1))
    weights = [each.encoder.network.layers[0].weight for each in (run, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_run_or_its_folder_is_a_start(data, tmp_path):
    first = lw.train(data, encoder="conv4", out=tmp_path / "first", **settings())
    for number, start in enumerate((first, str(first.folder.path))):
        run = lw.train(data, encoder=start, out=tmp_path / f"second{number}", **settings(steps=1))
        assert run.encoder.width == first.encoder.width


def test_a_torchvision_transform_makes_the_views(data, tmp_path):
    """Those of the batch, and those of the labelled images beside it."""
    method = "suncet"
    crop = v2.Compose([v2.RandomResizedCrop(SIZE, scale=(0.5, 1.0)), v2.RandomHorizontalFlip()])
    run = lw.train(data, views=crop, out=tmp_path / "a", **settings(method=method))
    again = lw.train(data, views=crop, out=tmp_path / "b", **settings(method=method, num_workers=2))
    other = lw.train(data, out=tmp_path / "c", **settings(method=method))
    vectors = [each.embed(data[0]).vectors for each in (run, again, other)]
    assert torch.equal(vectors[0], vectors[1]) and not torch.equal(vectors[0], vectors[2])
    with pytest.raises(LikewiseError, match="views"):
        lw.train(
            data,
            views=v2.RandomHorizontalFlip(0.1),
            out=tmp_path / "a",
            resume=True,
            **settings(method=method),
        )


def test_a_policy_of_ours_makes_the_views(data, tmp_path):
    run = lw.train(data, views=lw.views.weak(), out=tmp_path / "a", **settings())
    assert run.scores


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"encoder": 3}, "encoder="),
        ({"encoder": "x" * 5000}, "xxx"),
        ({"encoder": Small(), "pretrained": "timm"}, "pretrained"),
        ({"encoder": nn.Conv2d(1, 4, 3)}, "Conv2d"),
        ({"views": "flip"}, "views="),
        ({"views": {"strong": lw.views.weak}}, "strong"),
    ],
)
def test_what_does_not_fit_is_refused(given, named, data, tmp_path):
    with pytest.raises(LikewiseError, match=named):
        lw.train(data, out=tmp_path / "run", **settings(**given))
    assert not (tmp_path / "run").exists()


class Other(Small):
    """The same layers under another import path."""


def test_a_run_is_not_resumed_with_another_module(data, tmp_path):
    run = lw.train(data, encoder=Small(), out=tmp_path / "run", **settings())
    before = run.folder.config.read_text()
    with pytest.raises(LikewiseError, match=r"encoder\.name.*Other"):
        lw.train(data, encoder=Other(), out=tmp_path / "run", resume=True, **settings())
    assert run.folder.config.read_text() == before


@pytest.mark.parametrize(
    "rounds", [{"cuda_graph": "off"}, {"fused_batch_norm": False}, {"compile": "off"}]
)
def test_a_run_is_resumed_with_another_setting_that_only_rounds(rounds, data, tmp_path):
    lw.train(data, encoder=Small(), out=tmp_path / "run", **settings())
    run = lw.train(data, encoder=Small(), out=tmp_path / "run", resume=True, **settings(**rounds))
    assert run.scores


def test_arrays_of_other_pixels_or_labels_do_not_resume_a_run(data, tmp_path):
    images, labels = data
    out = tmp_path / "run"
    run = lw.train(data, out=out, **settings(steps=2))
    lw.train((images.clone(), labels.clone()), out=out, resume=True, **settings(steps=2))
    for other in ((images, 1 - labels), (images.flip(3), labels)):
        with pytest.raises(LikewiseError, match="data"):
            lw.train(other, out=out, resume=True, **settings(steps=2))
    with pytest.raises(LikewiseError, match=r"run\.evaluate\(data\)"):
        run.evaluate()


@pytest.mark.parametrize("callbacks", [None, lw.Callback, [lw.Callback], lw.Callback, [3]])
def test_callbacks_are_instances(callbacks, data, tmp_path):
    with pytest.raises(LikewiseError, match="callbacks="):
        lw.train(data, out=tmp_path / "run", callbacks=callbacks, **settings())


def test_a_module_without_items_is_still_the_module(data, tmp_path):
    class Empty(Small):
        def __len__(self):
            return 0

    module = Empty().requires_grad_(False)
    run = lw.train(data, encoder=module, out=tmp_path / "run", **settings(steps=1))
    assert torch.equal(run.encoder.network.layers[0].weight, module.layers[0].weight)
