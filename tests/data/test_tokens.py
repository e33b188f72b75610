"""A vocabulary that knows every script, and rows of tokens that belong to their images."""

import builtins

import pytest
import torch

from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.tokens import (
    NO_TOKEN,
    Tokenizer,
    TokenRows,
    cut_captions_warnings,
    drawn,
)
from likewise.errors import LikewiseError

TEXTS = ["a dog in the snow", "a dog runs", "two cats in the snow", "a cat"] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.learned(TEXTS, vocabulary=300, length=12)


def test_frequent_words_become_tokens_and_nothing_is_unknown(tokenizer):
    assert tokenizer.size <= 300
    # Five words between a start and an end.
    assert len(tokenizer.inner.encode("a dog in the snow").ids) == 7
    for said in ("犬が雪の中を走る", "🐶 собака", "a  DOG", "naïve"):
        assert tokenizer.inner.decode(tokenizer.inner.encode(said).ids).strip()
    assert tokenizer.inner.encode("A DOG").ids == tokenizer.inner.encode("a dog").ids
    assert tokenizer.inner.encode("na\u00efve").ids == tokenizer.inner.encode("nai\u0308ve").ids


def test_learning_twice_gives_the_same(tokenizer):
    assert Tokenizer.learned(TEXTS, 300, 12).inner.to_str() == tokenizer.inner.to_str()


def test_what_is_enormous_is_cut(tokenizer):
    assert tokenizer.encode(["a dog " * 100_000, "a dog"]).shape == (2, 12)


def test_it_survives_the_disk(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.read(tmp_path / "tokenizer.json", 12)
    assert torch.equal(again.encode(TEXTS), tokenizer.encode(TEXTS))
    with pytest.raises(LikewiseError, match=r"other\.json"):
        Tokenizer.read(tmp_path / "other.json", 12)


def test_rows_hold_each_images_own_captions(tokenizer):
    column = Captions([("a dog", "a cat"), (), ("two cats in the snow",)])
    rows = tokenizer.of(column)
    assert len(rows) == 3
    read = rows.read(torch.tensor([2, 0, 1]))
    for place, texts in enumerate([column.texts[2], column.texts[0], ()]):
        for k in range(2):
            expected = tokenizer.inner.encode(texts[k]).ids if k < len(texts) else []
            assert [token for token in read[place, k].tolist() if token != NO_TOKEN] == expected
    assert read.shape == (3, 2, 7)
    assert rows.read(torch.tensor([1])).tolist() == [[[NO_TOKEN]]]


def test_captions_that_are_cut_are_counted_and_told(tokenizer):
    short, long = Captions([("a dog", "a cat"), ()]), Captions([("a dog", "a dog " * 20), ()])
    assert cut_captions_warnings({CAPTIONS: tokenizer.of(short)}) == []
    told = cut_captions_warnings({CAPTIONS: tokenizer.of(long)})
    assert len(told) == 1 and told[0].startswith("1 of 2 captions") and "text-length" in told[0]
    assert cut_captions_warnings({}) == []


def test_no_caption_at_all_is_defined(tokenizer):
    assert (tokenizer.encode([]).shape) == (0, 1)
    rows = tokenizer.of(Captions([("a dog",)]))
    assert rows.read(torch.tensor([0, 0])).shape[0] == 2


def test_each_caption_is_drawn_alike_and_absent_ones_never():
    captions = torch.tensor(
        [[[1, 9], [2, 9], [3, NO_TOKEN]], [[4, 9], [NO_TOKEN] * 2, [NO_TOKEN] * 2]]
    )
    many = captions.repeat(300, 1, 1)
    found = drawn(many, torch.linspace(0, 0.9999, 600))
    assert found[0::2, 0].bincount().tolist() == [0, 100, 100, 100]
    assert set(found[1::2, 0].tolist()) == {4}
    assert drawn(torch.full((2, 1, 3), NO_TOKEN), torch.zeros(2)).tolist() == [[NO_TOKEN] * 3] * 2


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("tokenizers"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LikewiseError, match=r'Install it: pip install "likewise\[text\]"'):
        Tokenizer.learned(TEXTS, 300, 12)


def test_token_rows_count_their_images():
    rows = TokenRows(torch.tensor([[1, 2], [3, NO_TOKEN]], dtype=torch.int32), torch.tensor([0, 2]))
    assert rows.read(torch.tensor([1, 0])).tolist() == [[[1, 2], [3, -1]], [[-1, -1], [-1, -1]]]
