"""The page about loops of one's own: each example runs as it is written, and learns from the support too."""

import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

import likewise as lw

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-loop.md").read_text()
PLAIN, METHOD, LIGHTNING, HUGGING_FACE = re.findall(
    r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)
CLASSES = 3


class Brightness(Dataset):
    """Dark, middling and bright noise; a third of the images is labelled."""

    def __init__(self, count=96, labelled=True):
        generator = torch.Generator().manual_seed(0)
        levels = torch.arange(count) % CLASSES
        noise = torch.randint(0, 60, (count, 3, 32, 32), generator=generator)
        self.images = (noise + 90 * levels[:, None, None, None]).to(torch.uint8)
        visible = torch.arange(count) < count // 3
        self.labels = torch.where(visible, levels, -1) if labelled else torch.full((count,), -1)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row], int(self.labels[row])


class Recorder:
    """SuNCEt's supervised loss, which also records what it was given and returned."""

    def __init__(self, monkeypatch):
        self.labels, self.losses = [], []
        from likewise.methods import support_term

        original, module = lw.losses.suncet, lw.losses.SuNCEtLoss

        def recorded(z, labels, temperature):
            loss = original(z, labels, temperature)
            self.record(labels, loss)
            return loss

        def forward(this, embeddings, labels):
            loss = module_forward(this, embeddings, labels)
            self.record(labels, loss)
            return loss

        module_forward = module.forward
        monkeypatch.setattr(support_term, "suncet", recorded)
        monkeypatch.setattr(module, "forward", forward)

    def record(self, labels, loss):
        self.labels.append(labels.tolist())
        self.losses.append(float(loss.detach()))


def run(example, steps, train_set=None):
    """The names that an example leaves behind."""
    torch.manual_seed(0)
    names = {"__name__": "page", "train_set": train_set, "classes": CLASSES, "steps": steps}
    exec(compile(example, "docs/your-own-loop.md", "exec"), names)
    return names


@pytest.fixture
def support(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Recorder(monkeypatch)


def check_support(support, steps, each):
    """Every step learned from the same number of images of each class, and better and better."""
    assert len(support.labels) == steps
    for labels in support.labels:
        assert {labels.count(label) for label in range(CLASSES)} == {each}
    half = steps // 2
    assert sum(support.losses[half:]) / (steps - half) < sum(support.losses[:half]) / half


def test_plain_pytorch_in_at_most_25_lines(support):
    code = [
        line
        for line in PLAIN.splitlines()
        if line.strip() and not line.startswith(("import", "from"))
    ]
    assert len(code) <= 25
    names = run(PLAIN, 16, Brightness())
    check_support(support, 16, each=4)
    assert names["step"] == 15


def test_the_support_of_the_plain_loop_needs_labels():
    with pytest.raises(lw.LikewiseError):
        run(PLAIN, 1, Brightness(labelled=False))


def test_a_method_with_our_loader(support):
    names = run(METHOD, 20)
    assert len(support.losses) == 20
    assert sum(support.losses[10:]) < sum(support.losses[:10])
    assert all(labels.count(label) == 6 for labels in support.labels for label in range(10))
    untrained = lw.encoders.build_encoder(names["prepared"].encoder).state_dict()
    moved = [
        name
        for name, weight in names["encoder"].named_parameters()
        if not weight.equal(untrained[name])
    ]
    assert moved


def test_the_same_lines_update_a_teacher():
    moco = METHOD.replace('"suncet"', '"moco-v2"')
    once, twice = (run(moco, steps)["nets"].teacher.state_dict() for steps in (1, 2))
    assert any(
        not weight.equal(twice[name]) for name, weight in once.items() if weight.is_floating_point()
    )


def test_lightning(support):
    pytest.importorskip(
        "lightning", reason='lightning is not installed: pip install -e ".[frameworks]"'
    )
    names = run(LIGHTNING, 12, Brightness())
    check_support(support, 12, each=4)
    assert names["trainer"].global_step == 12


def test_hugging_face_trainer(support):
    for package in ("transformers", "accelerate"):
        pytest.importorskip(
            package, reason=f'{package} is not installed: pip install -e ".[frameworks]"'
        )
    names = run(HUGGING_FACE, 12, Brightness())
    check_support(support, 12, each=4)
    assert names["model"].at == 12
