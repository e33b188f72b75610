"""A model that is no better than its start says so in its card, in each format, on the terminal and when loaded."""

import importlib.util
import io
import json

import pytest
import torch
from rich.console import Console
from safetensors import safe_open

import likewise as lw
from likewise import cli
from likewise.json_files import read_json, write_json
from likewise.report.last_screen import last_screen
from likewise.report.model_card import model_card
from likewise.report.pages.page import write_report

SENTENCE = "no better than"


def scored(make_run, low, over="untrained", trained=0.6):
    """A run whose linear probe differs from its start by an interval that begins at ``low``."""
    run = make_run()
    scores = read_json(run.scores)
    wanted = {"trained": trained, over: 0.59}
    for who in ("trained", "start", "untrained"):
        value = wanted.get(who)
        scores[who] = (
            [{**scores["trained"][0], "name": "linear_top1", "value": value}] if value else []
        )
    scores["differences"] = [
        {"name": "linear_top1", "over": over, "value": 0.01, "low": low, "high": 0.05}
    ]
    write_json(run.scores, scores)
    return run


@pytest.mark.parametrize("over", ["start", "untrained"])
@pytest.mark.parametrize(("low", "said"), [(-0.03, True), (0.0, True), (0.01, False)])
def test_the_card_the_screen_and_the_page_say_it(make_run, over, low, said):
    run = scored(make_run, low, over)
    write_report(run)
    screen = io.StringIO()
    Console(file=screen, width=400).print(last_screen(run))
    for place in (
        model_card(run),
        screen.getvalue(),
        run.report.read_text(),
        " ".join(lw.load(run.path).caveats),
    ):
        assert (SENTENCE in place) == said
    assert ("60.0%" in model_card(run)) and ("59.0%" in model_card(run))


def test_one_better_score_is_enough(make_run):
    run = make_run()
    assert SENTENCE not in model_card(run)


def test_a_collapse_stands_in_the_card(make_run):
    run = make_run()
    with run.metrics.open("a") as log:
        log.write(json.dumps({"step": 201, "collapse": "It collapsed by step 201."}) + "\n")
    assert "It collapsed by step 201." in model_card(run)


def test_a_run_without_scores_says_that(make_run):
    run = make_run()
    run.scores.unlink()
    assert "not been scored" in model_card(run)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A run whose rate is so small that it learned nothing."""
    images = torch.randint(
        0, 256, (120, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    recipe = lw.methods.Recipe(learning_rate=1e-9)
    return lw.train(
        (images, torch.arange(120) % 2), method="simclr", recipe=recipe, steps=1, batch_size=8, num_evals=0,
        encoder="resnet18", stem="standard", out=tmp_path_factory.mktemp("runs") / "run", device="cpu", loggers=(),
    )  # fmt: skip


def written(path, to):
    """The model card inside what was exported."""
    if to == "hub":
        return (path / "README.md").read_text()
    if to == "timm":
        with safe_open(path, "pt") as file:
            return file.metadata()["model_card"]
    if to == "onnx":
        onnx = importlib.import_module("onnx")
        return {each.key: each.value for each in onnx.load(str(path)).metadata_props}["model_card"]
    if to == "torchscript":
        files = {"model_card": ""}
        torch.jit.load(str(path), _extra_files=files)
        card = files["model_card"]
        return card.decode() if isinstance(card, bytes) else card
    return (path.parent / "README.md").read_text()


NEEDS_ONNX = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="needs the onnx extra"
)
FORMATS = [
    "safetensors",
    "timm",
    "hub",
    "torchscript",
    pytest.param("onnx", marks=[NEEDS_ONNX, pytest.mark.slow]),
]


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_holds_the_sentence(untrained, to, tmp_path, capsys):
    out = (
        None
        if to == "safetensors"
        else tmp_path / f"model{'' if to == 'hub' else '.' + ENDINGS[to]}"
    )
    path = untrained.export(to, out)
    assert SENTENCE in written(path, to)


ENDINGS = {"timm": "safetensors", "torchscript": "pt", "onnx": "onnx"}


def test_the_command_says_it(untrained, tmp_path, capsys):
    cli.main(
        [
            "export",
            str(untrained.folder.path),
            "--to",
            "torchscript",
            "--out",
            str(tmp_path / "a.pt"),
        ]
    )
    printed = capsys.readouterr()
    assert SENTENCE in printed.err
    assert printed.out.strip() == str(tmp_path / "a.pt")
