"""Every public call names the argument that it cannot use, its value and what is allowed; nothing raw comes out."""

import dataclasses
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

import likewise as lw
from likewise import cli
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Recipe
from likewise.runs.settings import TrainSettings

IMAGES = torch.randint(
    0, 256, (48, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
DATA = IMAGES, torch.arange(48) % 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a step."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return lw.train(
        DATA,
        method="supcon",
        out=out,
        steps=1,
        batch_size=8,
        num_evals=0,
        device="cpu",
        encoder="conv4",
        loggers=(),
    )


TRAINING = {
    "steps": [0, -1, "5", 2.5, True, math.nan],
    "epochs": [0, -1.0, math.nan, math.inf, "1"],
    "image_size": [0, -8, 7, 10**9, "32"],
    "batch_size": [0, 1, -4, 2.5, "8"],
    "microbatch": [0, -1, "all"],
    "loggers": ["csv", ["nowhere"], 3],
    "device": ["tpu", 0, None],
    "devices": [-1, "2", 1.5],
    "num_workers": [-2, "4"],
    "max_bad": [-0.1, 1.1, math.nan],
    "clip_grad_norm": [0, -1.0, math.nan, math.inf],
    "model_ema_decay": [0, 1, -0.5],
    "seed": [-1, "0", 0.5],
    "val_fraction": [0, 1, -1, math.nan],
    "label_noise": [1, -0.1],
    "on_collapse": ["halt", None],
    "preset": ["huge", 3],
    "labels": [-1, "-3", 2.5, None, True, []],
    "method": [None, 3, "simcrl", []],
    "recipe": [3, "adamw", {}],
    "encoder": [3, None, "resnt18"],
    "views": [3, "x"],
    "callbacks": [3, [lw.Callback]],
    "out": [3, True],
    "preste": ["x"],
}
RECIPES = {
    "learning_rate": [-0.1, math.nan, math.inf, "1"],
    "weight_decay": [-1e-4, math.nan],
    "momentum": [-0.1, 1.0, 2.0],
    "warm_up": [-0.1, 1.5],
    "optimizer": ["adam", None],
    "schedule": ["linear"],
}


def pairs(table):
    return [(name, value) for name, values in table.items() for value in values]


def shown(value):
    """How a message writes a value."""
    return "nan" if isinstance(value, float) and math.isnan(value) else str(value)


@pytest.mark.parametrize(("name", "value"), pairs(TRAINING))
def test_train_names_the_setting(name, value, tmp_path):
    with pytest.raises(LikewiseError) as refused:
        lw.train(DATA, **{"out": tmp_path / "run", name: value})
    assert name in str(refused.value).replace("-", "_")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "value"), pairs(RECIPES))
def test_a_recipe_names_its_number(name, value, tmp_path):
    with pytest.raises(LikewiseError) as refused:
        lw.train(DATA, method="simclr", out=tmp_path / "run", recipe=Recipe(**{name: value}))
    assert name in str(refused.value).replace("-", "_")
    assert shown(value) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", -0.1), ("temperature", math.nan), ("hidden", -1)]
)
def test_a_method_names_its_number(name, value, tmp_path):
    with pytest.raises(LikewiseError, match=f"--method.{name} {value}"):
        lw.train(DATA, method=METHODS["simclr"](**{name: value}), out=tmp_path / "run")


CALLS = {
    "load": [((None,), "path"), ((3,), "path"), (("absent",), "absent"), ((), "path")],
    "compare": [
        ((), "runs"),
        ((3,), "runs"),
        (("a",), "runs"),
        (([3],), "runs"),
        ((["absent", "b"],), "absent"),
    ],
    "doctor": [((), "data"), (("absent",), "absent"), (("absent", 3), "labels")],
    "advise": [
        ((), "data"),
        ((DATA, "all", -1), "time"),
        ((DATA, "all", "soon"), "time"),
        ((DATA, "all", None), "time"),
    ],
    "evaluate": [((), "encoder"), ((None, DATA), "encoder"), ((3, DATA), "encoder")],
    "reproduce": [
        ((), "claim"),
        ((3,), "claim"),
        (("absent",), "absent"),
        (("lira", "12"), "seeds"),
    ],
}


@pytest.mark.parametrize(
    ("name", "arguments", "named"), [(n, *each) for n, rows in CALLS.items() for each in rows]
)
def test_a_call_names_its_argument(name, arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LikewiseError, match=named):
        getattr(lw, name)(*arguments)


KEYWORDS = {
    "advise": {"seed": -1, "device": "tpu", "out": 3, "buget": 1},
    "evaluate": {
        "k": 0,
        "batch_size": -1,
        "image_size": "32",
        "measures": "knn",
        "device": "tpu",
        "seed": -1,
    },
    "reproduce": {"steps_share": -1.0, "device": "tpu", "seeds": 3},
}


@pytest.mark.parametrize(
    ("name", "keyword"), [(name, each) for name, rows in KEYWORDS.items() for each in rows]
)
def test_a_call_names_its_keyword(name, keyword, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = {"advise": (DATA,), "evaluate": (torch.nn.Flatten(), *DATA), "reproduce": ("lira",)}[
        name
    ]
    with pytest.raises(LikewiseError, match=keyword):
        getattr(lw, name)(*first, **{keyword: KEYWORDS[name][keyword]})


METHOD_CALLS = [
    ("search", ("a.png", "v.parquet", -1), "count"),
    ("search", ("a.png", "v.parquet", "2"), "count"),
    ("search", ("a.png", 3), "vectors"),
    ("search", (), "query"),
    ("embed", (IMAGES, 0), "batch_size"),
    ("embed", ("absent",), "absent"),
    ("predict", (IMAGES, None, 1.5), "precise"),
    ("predict", (IMAGES, None, math.nan), "precise"),
    ("predict", (IMAGES, 3), "out"),
    ("evaluate", (DATA, 3), "labels"),
    ("export", ("onxx",), "onxx"),
    ("export", (3,), "to"),
    ("export", ("torchscript", "absent/model.pt"), "absent"),
]


@pytest.mark.parametrize(("name", "arguments", "named"), METHOD_CALLS)
def test_a_run_names_its_argument(run, name, arguments, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LikewiseError, match=named):
        getattr(run, name)(*arguments)


COMMANDS = [
    (["train", "fashion-mnist-mini", "--steps", "0"], "--steps"),
    (["train", "fashion-mnist-mini", "--steps", "five"], "--steps"),
    (["train", "fashion-mnist-mini", "--epochs", "nan"], "--epochs"),
    (["train", "fashion-mnist-mini", "--recipe.learning-rate", "-1"], "--recipe.learning-rate"),
    (
        ["train", "fashion-mnist-mini", "--method", "simclr", "--method.temperature", "nan"],
        "--method.temperature",
    ),
    (["train", "fashion-mnist-mini", "--device", "tpu"], "--device"),
    (["train", "fashion-mnist-mini", "--loggers", "nowhere"], "--loggers"),
    (["advise", "fashion-mnist-mini", "--time", "-3"], "time"),
    (["search", "absent", "a.png", "--in", "v.parquet", "--count", "-3"], "absent|count"),
    (["search", "{run}", "a.png", "--in", "v.parquet", "--count", "-3"], "v.parquet|count"),
    (["predict", "{run}", "absent", "--precise", "2"], "precise"),
    (["evaluate", "{run}", "--neighbours", "0"], "neighbours"),
    (["export", "{run}", "--to", "torchscript", "--out", "absent/model.pt"], "absent"),
    (["compare", "one"], "runs|two|RUNS"),
    (["reproduce", "lira", "--steps-share", "-1"], "steps"),
]


@pytest.mark.parametrize(("words", "named"), COMMANDS)
def test_a_command_ends_with_2(words, named, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main([word.replace("{run}", str(run.folder.path)) for word in words])
    printed = capsys.readouterr()
    assert left.value.code == 2
    assert any(each in printed.err + printed.out for each in named.split("|"))
    assert "Traceback" not in printed.err


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4),
    st.lists(st.one_of(st.integers(), st.text(max_size=4)), max_size=3), st.just("x" * 5000), st.just("\0"),
    st.just(object()), st.just(np.array([1, 2])), st.just(torch.tensor(1)), st.just(np.float64("nan")),
)  # fmt: skip
FIELDS = [field.name for field in dataclasses.fields(TrainSettings)]


@pytest.mark.slow
@settings(
    max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(name=st.sampled_from(FIELDS), value=VALUES)
def test_no_setting_raises_anything_else(name, value, tmp_path_factory):
    try:
        lw.prepare(DATA, **{"method": "simclr", name: value})
    except LikewiseError:
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["simclr", "moco-v2", "swav", "suncet", "isd", "comatch", "cacr", "paws"]
)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(value=VALUES, choice=st.integers(0, 100))
def test_no_setting_of_a_method_raises_anything_else(name, value, choice):
    fields = [field.name for field in dataclasses.fields(METHODS[name])]
    try:
        lw.prepare(DATA, method=METHODS[name](**{fields[choice % len(fields)]: value}))
    except LikewiseError:
        pass
