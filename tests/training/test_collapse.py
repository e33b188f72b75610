"""Each form of collapse, provoked in a real run, is found within its stated number of readings and acted on."""

import dataclasses
import io
import math

import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn

import likewise as lw
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import EncoderSettings, build_encoder
from likewise.methods import METHODS, Recipe, with_view_size
from likewise.run_folder import RunFolder
from likewise.runs.trained import load_trained
from likewise.training import Interrupted, LoopSettings, train
from likewise.training.collapse import EVALUATIONS, LABELLED_IMAGES, READINGS, CollapseWatch
from likewise.training.screen import Screen
from likewise.views.policies import identity
from methods.fixtures import SIZE, loader, method, nets_of
from training.test_resume import StopAfter

BATCH = 8
LABEL_READINGS = LABELLED_IMAGES // BATCH


def start(
    name,
    folder,
    steps,
    batches=None,
    evaluate=None,
    rate=0.06,
    console=None,
    action="warn",
    **settings,
):
    """A run of the loop on noise that logs and saves at each step; the peak rate is that of batches of 8."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    rule = dataclasses.replace(method(name), **settings)
    nets = nets_of(rule)
    plan = LoopSettings(steps, log_every=1, save_every=1, eval_every=1, on_collapse=action)
    fabric, run = Fabric(accelerator="cpu", devices=1), RunFolder(folder)
    recipe = Recipe("sgd", rate * 256 / BATCH, weight_decay=0.0, warm_up=0.0)
    screen = Screen(console) if console else None
    state = train(fabric, rule, nets, batches or loader(rule), recipe, plan, run, evaluate, screen)
    return nets, state


def found(folder):
    """The steps and the words of the lines that tell of a collapse."""
    return [
        (line["step"], line["collapse"])
        for line in RunFolder(folder).metric_lines()
        if "collapse" in line
    ]


def one_image():
    """32 times the same image."""
    image = torch.randint(
        0, 256, (1, 1, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return Loader(
        InMemoryImages(Pixels(image.repeat(32, 1, 1, 1), torch.ones(32))),
        torch.zeros(32).long(),
        BATCH,
        5,
    )


FORMS = {
    "equal embeddings": ("byol", {"rate": 1.0}, "feature_std", READINGS + 2),
    "a queue of one vector": ("moco-v2", {"batches": one_image, "views": identity(SIZE)}, "queue", READINGS),
    "a constant loss": ("simclr", {"temperature": 1e4}, f"log(2 x {BATCH} - 1)", READINGS),
    "exploded weights": ("simclr", {"rate": 100.0}, "norm of the weights", READINGS),
    "one class": ("supcon", {"batches": lambda: loader(method("supcon"), torch.zeros(32).long()), "rate": 1e-4},
                  "of one class", LABEL_READINGS),
    "one class of a classifier": ("cross-entropy", {"batches": lambda: loader(method("supcon"), torch.ones(32).long())},
                                  "of one class", LABEL_READINGS),
    "no positive pair": ("supcon", {"batches": lambda: loader(method("supcon"), torch.arange(32))}, "share a class",
                         LABEL_READINGS),
}  # fmt: skip
"""By form: the method, the settings that provoke it, a word of the message, and the reading that finds it."""


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_within_its_readings(form, tmp_path):
    name, settings, word, readings = FORMS[form]
    made = {key: value() if key == "batches" else value for key, value in settings.items()}
    start(name, tmp_path, readings + 2, **made)
    ((step, message),) = found(tmp_path)
    assert step <= readings
    assert word in message


def test_features_of_rank_one_are_found_at_the_second_evaluation(tmp_path):
    images = torch.randint(
        0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 1, bias=False), nn.Linear(1, 32, bias=False)
    )
    run = lw.train(
        (images, torch.arange(64) % 2), method="simclr", encoder=encoder, steps=8, num_evals=8, batch_size=16,
        out=tmp_path / "run", device="cpu", loggers=(),
    )  # fmt: skip
    ((step, message),) = found(tmp_path / "run")
    assert (step, "effective rank" in message) == (EVALUATIONS, True)
    assert message.partition("(")[0] in run.folder.report.read_text()


def test_collapse_is_said_once_on_the_screen_and_in_the_log(tmp_path):
    screen = io.StringIO()
    start("simclr", tmp_path, 9, temperature=1e4, console=Console(file=screen, width=1000))
    ((_, message),) = found(tmp_path)
    assert screen.getvalue().count(message) == 1


def test_warn_goes_on_to_the_end(tmp_path):
    _, state = start("simclr", tmp_path, 6, rate=100.0)
    assert (state.step, state.stopped_early) == (6, False)
    assert not RunFolder(tmp_path).restored.exists()
    assert not RunFolder(tmp_path).healthy.exists()


@pytest.mark.parametrize(("action", "last"), [("stop", READINGS), ("rollback", 6)])
def test_the_networks_before_the_collapse_are_those_at_the_end(action, last, tmp_path):
    nets, state = start("simclr", tmp_path, 6, rate=100.0, action=action)
    assert (state.step, state.stopped_early) == (last, action == "stop")
    first = nets_of(method("simclr")).state_dict()  # the first step already broke the weights
    assert all(torch.equal(value, first[name]) for name, value in nets.state_dict().items())
    assert torch.load(RunFolder(tmp_path).restored, weights_only=True)["step"] == 0
    assert len(found(tmp_path)) == 2  # what was found, and what the networks are


def test_a_later_collapse_goes_back_to_the_last_healthy_step(tmp_path):
    """The spread stays good for some steps, then falls for good."""
    start("moco-v2", tmp_path, 12, rate=0.05, action="rollback")
    run, (at, _) = RunFolder(tmp_path), found(tmp_path)[0]
    stds = {
        line["step"]: line["feature_std"] for line in run.metric_lines() if "feature_std" in line
    }
    step = torch.load(run.restored, weights_only=True)["step"]
    assert step == max(number for number, std in stds.items() if std >= 0.1) == at - READINGS


@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_a_resumed_run_finds_the_collapse_at_the_same_step(action, tmp_path):
    wanted = {"temperature": 1e4, "action": action}
    whole, state = start("simclr", tmp_path / "whole", 6, **wanted)
    with pytest.raises(Interrupted):
        start("simclr", tmp_path / "parts", 6, evaluate=StopAfter(READINGS - 1), **wanted)
    parts, resumed = start("simclr", tmp_path / "parts", 6, **wanted)
    assert resumed.step == state.step
    assert found(tmp_path / "parts") == found(tmp_path / "whole")
    assert all(
        torch.equal(value, parts.state_dict()[name]) for name, value in whole.state_dict().items()
    )


def test_a_collapse_that_was_said_is_not_said_again_after_resuming(tmp_path):
    with pytest.raises(Interrupted):
        start("simclr", tmp_path, 8, evaluate=StopAfter(READINGS + 1), temperature=1e4)
    start("simclr", tmp_path, 8, temperature=1e4)
    assert len(found(tmp_path)) == 1


def test_networks_that_were_restored_are_those_of_the_run(tmp_path):
    images = torch.randint(
        0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    run = lw.train(
        (images, torch.arange(64) % 2), method="simclr", steps=60, num_evals=0, batch_size=16, on_collapse="stop",
        recipe=Recipe("sgd", 5000.0, warm_up=0.0), out=tmp_path / "run", device="cpu", loggers=(),
    )  # fmt: skip
    assert found(tmp_path / "run")
    kept = load_trained(run.folder.path).nets.encoder.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in run.encoder.state_dict().items())
    assert all(value.abs().max() < 100 for value in kept.values())


def test_an_average_of_the_weights_cannot_be_rolled_back(tmp_path):
    images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(lw.LikewiseError, match="--model-ema-decay"):
        lw.train(
            (images, torch.arange(64) % 2),
            on_collapse="rollback",
            model_ema_decay=0.9,
            out=tmp_path / "run",
        )


def bundled(rule, classes, batch_size):
    """Batches of 200 bundled images of the first classes."""
    prepared = lw.prepare("fashion-mnist-mini", method="simclr", device="cpu")
    some = (prepared.visible_labels < classes).nonzero().flatten()[:200]
    loader = prepared.loader()
    labels = loader.labels[some]
    return Loader(loader.images.take(some), labels, batch_size, seed=5, support=rule.support)


SLOW = pytest.mark.slow
QUICK = ("isd",)
NAMES = ("byol", "cross-entropy", "isd", "moco-v2", "simsiam", "suncet", "supcon", "swav")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in NAMES]
)
@pytest.mark.parametrize(("classes", "batch_size"), [(10, 32), pytest.param(2, 4, marks=SLOW)])
def test_a_healthy_run_is_not_accused(name, classes, batch_size, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    rule = dataclasses.replace(
        METHODS[name](), **({"classes_per_batch": 2} if name == "suncet" else {})
    )
    rule = with_view_size(rule, 28, None)
    nets = rule.build(build_encoder(EncoderSettings("conv4", 28, (0.3,), (0.3,))), 10)
    fabric = Fabric(accelerator="cpu", devices=1)
    batches = bundled(rule, classes, batch_size)
    train(fabric, rule, nets, batches, rule.card.recipe, LoopSettings(70), RunFolder(tmp_path))
    assert not found(tmp_path)


def watch(batch_size=64):
    return CollapseWatch("BYOL", batch_size, 10.0, [], True)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("feature_std", [0.01, 0.01, 0.9, 0.01, 0.01]),
        ("effective_rank", [1.0, 8.0, 1.0, 8.0]),
        ("weight_norm", [290.0, 310.0, 290.0, 310.0]),
        ("loss", [4.0, 4.0001, 3.0, 3.0001, 3.00011, 3.00012]),
        ("loss", [math.log(127), 4.7, math.log(127), 4.7, math.log(127)]),
        ("loss", [-0.5, -0.7, -0.9, -0.99999, -0.99999, -0.99999, -0.99999]),
    ],
)
def test_a_short_dip_and_a_converged_loss_are_no_collapse(key, values):
    watched = watch()
    assert [watched.read({key: value}) for value in values] == [""] * len(values)


def test_small_batches_of_one_class_are_chance_until_many_were_seen():
    batches, watched = [2.0, 2.0, 1.0, 2.0] * 30, watch(2)
    for classes in batches:  # pairs of two classes as often as not
        assert not watched.read({"labelled_images": 2.0, "labelled_classes": classes})
