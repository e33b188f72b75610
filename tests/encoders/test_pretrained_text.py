"""Text encoders of others: opened from a folder, left alone unless finetune, and kept whole with a run."""

import pytest
import torch

from likewise.data.columns.tokens import NO_TOKEN, Tokenizer
from likewise.encoders.pretrained_text import PretrainedText, text_folder
from likewise.encoders.shared_space import SpaceSettings, build_space, load_space, save_space
from likewise.encoders.text import TextSettings
from likewise.errors import LikewiseError

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model as transformers writes it, with a vocabulary."""
    at = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.BertModel(config).save_pretrained(str(at))
    Tokenizer.learned(["a dog in snow", "two cats"], 300, 12).save(at / "tokenizer.json")
    return at


def test_a_feature_is_the_mean_over_tokens(folder):
    network = PretrainedText(TextSettings(str(folder)), folder).eval()
    tokens = torch.tensor([[3, 4, 5, NO_TOKEN], [6, 7, 8, 9]])
    alone = network.network(input_ids=tokens[:1, :3]).last_hidden_state.mean(1)
    torch.testing.assert_close(network(tokens)[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("finetune", [False, True])
def test_it_learns_only_if_tuned(folder, finetune):
    space = build_space(SpaceSettings(TextSettings(str(folder), finetune=finetune), 8, 4)).train()
    space.of_texts(torch.tensor([[3, 4, 5]])).sum().backward()
    learned = [p.grad is not None for p in space.text.parameters()]
    assert any(learned) == finetune and space.text.network.training == finetune
    assert space.text_head.weight.grad is not None


def test_a_run_needs_the_folder_no_more(folder, tmp_path):
    space = build_space(SpaceSettings(TextSettings(str(folder), length=12), 8, 4))
    tokenizer = Tokenizer.read(folder / "tokenizer.json", 12)
    save_space(space, tokenizer, tmp_path)
    expected = space.eval().vectors(tokenizer, ["a dog", "cats"])
    hidden = folder.rename(folder.with_name("gone"))
    try:
        again, read = load_space(tmp_path)
    finally:
        hidden.rename(folder)
    torch.testing.assert_close(again.vectors(read, ["a dog", "cats"]), expected)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(LikewiseError, match=r"config\.json"):
        text_folder(str(tmp_path))
