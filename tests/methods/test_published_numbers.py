"""The numbers of the authors' scripts, written down from those scripts and not from the presets."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from likewise.methods import METHODS, with_view_size
from likewise.training.optimizers import build_optimizer

IMAGES = {"small": 50_000, "comatch": 50_000, "middle": 100_000, "imagenet": 1_281_167}
"""of a set for which a preset may be; epochs are counted in it"""


class Run(NamedTuple):
    """A training script: highest, first and last rate, weight decay, batch, epochs."""

    rate: float
    decay: float
    batch: int
    epochs: int
    first: float | None = None
    last: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    decays_all: bool = False


SCRIPTS = {
    # main.py
    ("barlow-twins", "imagenet"): Run(0.2 * 8, 1e-6, 2048, 1000, 0.0, 0.2 * 8 * 0.001),
    # configs/byol.py
    ("byol", "imagenet"): Run(0.2 * 16, 1.5e-6, 4096, 1000, 0.0),
    ("byol", "imagenet-short"): Run(0.45 * 16, 1e-6, 4096, 100, 0.0),
    # small_scale_experiments/cifar10/main_ours.py and stl10/main_ours.py; the README for large data
    ("cacr", "small"): Run(0.06, 1e-4, 128, 200, decays_all=True),
    ("cacr", "middle"): Run(0.06, 1e-4, 128, 200, decays_all=True),
    ("cacr", "imagenet"): Run(0.03, 1e-4, 256, 200, decays_all=True),
    # CLIP's Tables 18 and 20
    ("clip", "imagenet"): Run(5e-4, 0.2, 32768, 32, 0.0),
    # launch_scripts/train_OTTER.sh, train.py
    ("clip-distill", "imagenet"): Run(3e-3, 0.0, 512, 10),
    # Train_CoMatch.py, WarmupCosineLrScheduler in utils.py; imagenet/Train_CoMatch.py
    ("comatch", "small"): Run(0.03, 5e-4, 448, 4700, last=0.03 * 0.19509, nesterov=True),
    ("comatch", "middle"): Run(0.03, 5e-4, 448, 4700, last=0.03 * 0.19509, nesterov=True),
    ("comatch-ema", "imagenet"): Run(0.1, 1e-4, 640, 400, nesterov=True, decays_all=True),
    ("comatch-ema", "imagenet-10-percent"): Run(
        0.1, 1e-4, 640, 400, nesterov=True, decays_all=True
    ),
    # main_ce.py and util.py of SupContrast; supcon/scripts/cross_entropy_imagenet_resnet50.sh
    ("cross-entropy", "small"): Run(0.8, 1e-4, 1024, 500, 0.01, 8e-4, decays_all=True),
    ("cross-entropy", "imagenet"): Run(2.4, 1e-4, 6144, 200, 0.0, nesterov=True),
    # fixmatch.py and libml/train.py; Train_fixmatch.py of CoMatch
    ("fixmatch", "small"): Run(0.03, 5e-4, 448, 9400, last=0.03 * 0.19509, nesterov=True),
    ("fixmatch", "middle"): Run(0.03, 5e-4, 448, 9400, last=0.03 * 0.19509, nesterov=True),
    ("fixmatch", "comatch-baseline"): Run(
        0.03, 5e-4, 448, 9400, last=0.03 * 0.19509, nesterov=True
    ),
    # pretrain.py
    ("global-local", "middle"): Run(1.4e-4, 0.0, 64, 10, last=1.4e-4),
    # train_student_cifar.py, train_student_imagenet.py, train_teacher_*.py, train_baseline_cifar.py
    ("hsakd", "small"): Run(0.05, 5e-4, 64, 240, nesterov=True, decays_all=True),
    ("hsakd", "imagenet"): Run(0.1, 1e-4, 256, 100, decays_all=True),
    ("hsakd-teacher", "small"): Run(0.05, 5e-4, 64, 240, nesterov=True, decays_all=True),
    ("hsakd-teacher", "imagenet"): Run(0.1, 1e-4, 256, 100, decays_all=True),
    ("kd", "small"): Run(0.05, 5e-4, 64, 240, nesterov=True, decays_all=True),
    ("kd", "imagenet"): Run(0.1, 1e-4, 256, 100, decays_all=True),
    # train_isd_plus.py and train_isd.py as the README starts them
    ("isd", "imagenet"): Run(0.05, 1e-4, 256, 200, decays_all=True),
    ("isd", "imagenet-resnet18"): Run(0.01, 1e-4, 256, 200, decays_all=True),
    # moco_cifar10_demo.ipynb; main_moco.py as the README starts it
    ("moco-v2", "small"): Run(0.06, 5e-4, 512, 200, decays_all=True),
    ("moco-v2", "imagenet"): Run(0.03, 1e-4, 256, 200, decays_all=True),
    # mscl_r18_cosm_lr2e-2.py; slowfast/config/defaults.py
    ("modist", "middle"): Run(0.02, 1e-4, 128, 400, 0.0),
    ("modist", "imagenet"): Run(0.1, 1e-4, 64, 300, nesterov=True),
    # configs/paws
    ("paws", "small"): Run(3.2, 1e-6, 256, 600, 0.8, 0.032),
    ("paws", "imagenet"): Run(6.4, 1e-6, 4096, 100, 0.3, 0.064),
    # train_pretrain.sh
    ("setsim", "imagenet"): Run(0.12, 1e-4, 512, 200, decays_all=True),
    ("setsim", "imagenet-official"): Run(0.12, 1e-4, 512, 200, decays_all=True),
    # the README; 0.075 * sqrt(4096) in the second
    ("simclr", "small"): Run(2.0, 1e-6, 512, 1000, 0.0),
    ("simclr", "imagenet"): Run(4.8, 1e-6, 4096, 100, 0.0),
    # Appendix D; main_simsiam.py
    ("simsiam", "small"): Run(0.06, 5e-4, 512, 800, decays_all=True),
    ("simsiam", "imagenet"): Run(0.1, 1e-4, 512, 100, decays_all=True),
    # configs/train_suncet_imgnt_u90_tr500.yaml and src/train.py of the first commit
    ("suncet", "imagenet"): Run(4.8, 1e-6, 64 * 44, 500, 0.6, decays_all=True),
    # main_supcon.py and util.py; supcon/scripts/supcon_imagenet_resnet50.sh
    ("supcon", "small"): Run(0.5, 1e-4, 1024, 1000, 0.01, 5e-4, decays_all=True),
    ("supcon", "imagenet"): Run(9.6, 1e-3, 6144, 350, 0.0),
    # scripts/swav_800ep_pretrain.sh and swav_200ep_bs256_pretrain.sh
    ("swav", "imagenet"): Run(4.8, 1e-6, 4096, 800, 0.3, 0.0048, decays_all=True),
    ("swav", "imagenet-256"): Run(0.6, 1e-6, 256, 200, last=0.0006, decays_all=True),
    # config.py and svhn_trainer.py; betas (0.5, 0.999)
    ("ugan", "small"): Run(1e-3, 0.0, 64, 900, momentum=0.5),
}
"""Read in the files that the comments name. ``first`` is None where a script does not warm up. Drops in steps, which
are a cosine here (HSAKD, CACR, ISD's first script, UGAN), are on the methods' pages."""


@pytest.mark.parametrize(("method", "preset"), SCRIPTS)
def test_rates_lengths_and_decay_are_the_scripts(method, preset):
    run, chosen = SCRIPTS[method, preset], METHODS[method].card.presets[preset]
    recipe = chosen.recipe
    size = 400_000_000 if method == "clip" else IMAGES[preset.partition("-")[0]]
    epoch = size // run.batch
    steps = epoch * run.epochs
    assert (chosen.batch_size, chosen.epochs) == (run.batch, run.epochs)

    def rate_at(step):
        return recipe.rate_at(step, steps, epoch, chosen.batch_size)

    highest = max(rate_at(step) for step in range(0, steps, max(epoch // 4, 1)))
    assert highest == pytest.approx(run.rate, rel=0.01)
    first = run.rate if run.first is None else run.first
    assert rate_at(0) == pytest.approx(first, rel=0.02, abs=run.rate * 0.01)
    assert rate_at(steps - 1) == pytest.approx(run.last, rel=0.02, abs=run.rate * 1e-5)
    assert (recipe.weight_decay, recipe.momentum) == (run.decay, run.momentum)
    assert recipe.exclude_bias_and_norm is not run.decays_all
    optimizer = build_optimizer(recipe, nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), 256)
    assert optimizer.defaults.get("nesterov", False) is run.nesterov
    decayed = sum(len(group["params"]) for group in optimizer.param_groups if group["weight_decay"])
    assert decayed == (0 if run.decay == 0 else 4 if run.decays_all else 1)


def test_every_preset_that_cites_code_has_its_numbers_here():
    cited = {
        (name, preset)
        for name, kind in METHODS.items()
        for preset, chosen in kind.card.presets.items()
        if not chosen.source.startswith("ours")
    }
    # Reconstructed from a paper without numbers of its own, or taken over from SimCLR.
    assert cited - {("flow-similarity", "imagenet"), ("loco", "imagenet")} == set(SCRIPTS)


STRONG = (0.8, 0.4, 0.4, 0.4, 0.1)
"""torchvision's ColorJitter(0.4, 0.4, 0.4, 0.1) in RandomApply of 0.8"""
FULL = (0.8, 0.8, 0.8, 0.8, 0.2)
NO_COLOUR = (0.0, 0.0, 0.0, 0.0, 0.0)
TRANSFORMS = {
    # least area, (chance of jitter, brightness, contrast, saturation, hue), grey, blur, solarize
    ("barlow-twins", "imagenet", "first_views"): (0.08, (0.8, 0.4, 0.4, 0.2, 0.1), 0.2, 1.0, 0.0),
    ("barlow-twins", "imagenet", "second_views"): (0.08, (0.8, 0.4, 0.4, 0.2, 0.1), 0.2, 0.1, 0.2),
    ("byol", "imagenet", "first_views"): (0.08, (0.8, 0.4, 0.4, 0.2, 0.1), 0.2, 1.0, 0.0),
    ("byol", "imagenet", "second_views"): (0.08, (0.8, 0.4, 0.4, 0.2, 0.1), 0.2, 0.1, 0.2),
    ("cacr", "small", "views"): (0.2, (1.0, 0.4, 0.4, 0.4, 0.4), 0.2, 0.0, 0.0),
    ("cacr", "middle", "views"): (0.08, (1.0, 0.4, 0.4, 0.4, 0.4), 0.2, 0.0, 0.0),
    ("cacr", "imagenet", "views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("comatch", "small", "other_views"): (0.2, STRONG, 0.2, 0.0, 0.0),
    ("comatch-ema", "imagenet", "strong_views"): (0.2, STRONG, 0.2, 0.0, 0.0),
    ("comatch-ema", "imagenet", "weak_views"): (0.2, NO_COLOUR, 0.0, 0.0, 0.0),
    ("cross-entropy", "small", "views"): (0.2, NO_COLOUR, 0.0, 0.0, 0.0),
    ("hsakd", "imagenet", "views"): (0.08, NO_COLOUR, 0.0, 0.0, 0.0),
    ("isd", "imagenet", "student_views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("isd", "imagenet", "teacher_views"): (0.2, NO_COLOUR, 0.0, 0.0, 0.0),
    ("isd", "imagenet-resnet18", "teacher_views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("moco-v2", "small", "views"): (0.08, STRONG, 0.2, 0.0, 0.0),
    ("moco-v2", "imagenet", "views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("paws", "imagenet", "views"): (0.14, FULL, 0.2, 0.5, 0.0),
    ("setsim", "imagenet-official", "views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("simclr", "small", "views"): (0.08, (0.8, 0.4, 0.4, 0.4, 0.1), 0.2, 0.0, 0.0),
    ("simclr", "imagenet", "views"): (0.08, FULL, 0.2, 0.5, 0.0),
    ("simsiam", "small", "views"): (0.2, STRONG, 0.2, 0.0, 0.0),
    ("simsiam", "imagenet", "views"): (0.2, STRONG, 0.2, 0.5, 0.0),
    ("suncet", "imagenet", "views"): (0.08, FULL, 0.2, 0.5, 0.0),
    ("supcon", "small", "views"): (0.2, STRONG, 0.2, 0.0, 0.0),
    ("swav", "imagenet", "views"): (0.14, FULL, 0.2, 0.5, 0.0),
    ("swav", "imagenet", "small_views"): (0.05, FULL, 0.2, 0.5, 0.0),
}
"""From the same scripts' transforms; all of them flip half of the images."""


@pytest.mark.parametrize(("method", "preset", "field"), TRANSFORMS)
def test_views_are_the_scripts(method, preset, field):
    size = 224 if preset.startswith("imagenet") else 32
    policy = getattr(with_view_size(METHODS[method].preset(preset), size), field)
    jitter = (policy.jitter, policy.brightness, policy.contrast, policy.saturation, policy.hue)
    found = (policy.crop_area[0], jitter, policy.grey, policy.blur, policy.solarize)
    assert found == TRANSFORMS[method, preset, field]
    assert (policy.flip, policy.blur_sigma) == (0.5, (0.1, 2.0))
    assert policy.crop_area[1] == (0.14 if field == "small_views" else 1.0)


NORM, RELU = "norm", "relu"
HEADS = {
    # As in the authors' modules; a number is a linear layer's width
    ("barlow-twins", "imagenet", "projector"): [8192, NORM, RELU, 8192, NORM, RELU, 8192],
    ("byol", "imagenet", "projector"): [4096, NORM, RELU, 256],
    ("byol", "imagenet", "predictor"): [4096, NORM, RELU, 256],
    ("cacr", "imagenet", "head"): [2048, RELU, 128],
    ("comatch-ema", "imagenet", "head"): [2048, RELU, 128],
    ("isd", "imagenet", "projector"): [4096, NORM, RELU, 512],
    ("isd", "imagenet", "predictor"): [4096, NORM, RELU, 512],
    ("moco-v2", "imagenet", "head"): [2048, RELU, 128],
    ("paws", "imagenet", "projector"): [2048, NORM, RELU, 2048, NORM, RELU, 2048],
    ("paws", "imagenet", "predictor"): [NORM, 512, NORM, RELU, 2048],
    ("simsiam", "imagenet", "projector"): [2048, NORM, RELU, 2048, NORM, RELU, 2048, "norm alone"],
    ("simsiam", "imagenet", "predictor"): [512, NORM, RELU, 2048],
    ("suncet", "imagenet", "head"): [2048, RELU, 128],
    ("supcon", "small", "head"): [2048, RELU, 128],
    ("swav", "imagenet", "head"): [2048, NORM, RELU, 128],
}


class WideEncoder(nn.Linear):
    """As wide as a ResNet-50."""

    width = 2048


def layer_of(module):
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.BatchNorm1d):
        return NORM if module.affine else "norm alone"
    return {nn.ReLU: RELU}[type(module)]


@pytest.mark.parametrize(("method", "preset", "part"), HEADS)
def test_heads_are_the_modules_of_the_authors(method, preset, part):
    rule = METHODS[method].preset(preset)
    with torch.device("meta"):
        made = getattr(rule.build(WideEncoder(1, 1), 10), part)
    leaves = [module for module in made.modules() if not list(module.children())]
    assert [layer_of(module) for module in leaves] == HEADS[method, preset, part]
