import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ftft.data.dataset import Dataset
from ftft.errors import ModelError
from ftft.models import tokens as tokens_module
from ftft.models.encoders import SPECIAL_TOKENS, train_tokenizer
from ftft.models.tokens import LONG_ROW, Cut, Tokens, budget_batches, cached_tokens, tokenize

FIRST = ["the tall nurse sings in the garden", "a", "Zürich 😀 unseen", "the nurse  \n sings " * 9]
SECOND = ["nobody sings", "the nurse is in the garden and sings " * 6, "b", "the garden is tall " * 8]
PAIRS = Dataset([str(row) for row in range(4)], (FIRST, SECOND), np.array([0, 1, 0, 1]), ["no", "yes"])
SINGLES = Dataset(PAIRS.uids, (SECOND,), PAIRS.labels, PAIRS.label_names)


@pytest.fixture(scope="module", params=["wordpiece", "unigram", "bpe"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(PAIRS, kind=request.param, vocab_size=300),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{role}_token": token for role, token in SPECIAL_TOKENS.items()},
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dataset", [SINGLES, PAIRS], ids=["single", "pair"])
@pytest.mark.parametrize("max_length", [4, 12, 13, 300])
def test_tokens_are_those_of_the_encoders_own_tokenizer(folder, dataset, max_length):
    tokens = tokenize(dataset.texts, folder / "tokenizer.json", max_length)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = tokenizer(*dataset.texts, truncation=True, max_length=max_length)
    rows = [slice(*tokens.offsets[row : row + 2]) for row in range(len(tokens))]
    assert [tokens.ids[row].tolist() for row in rows] == expected["input_ids"]
    assert [tokens.types[row].tolist() for row in rows] == expected["token_type_ids"]
    assert tokens.lengths.max() <= max_length
    assert any(1 in types for types in expected["token_type_ids"]) == (len(dataset.texts) == 2)

    padded = tokens.padded(np.array([2, 0, 3]), tokenizer.pad_token_id)
    batch = tokenizer(
        *([texts[row] for row in (2, 0, 3)] for texts in dataset.texts),
        truncation=True,
        max_length=max_length,
        padding=True,
        return_tensors="np",
    )
    assert padded.keys() == batch.keys()
    for name, array in padded.items():
        np.testing.assert_array_equal(array, batch[name])


TOKENS = Tokens(np.array([5, 6, 7, 8, 9, 10]), np.array([0, 1, 0, 0, 0, 1], np.uint8), np.array([0, 2, 3, 6]))


def test_rows_are_padded_to_the_longest_of_them():
    padded = {name: array.tolist() for name, array in TOKENS.padded(np.array([2, 1]), 99).items()}
    assert padded == {
        "input_ids": [[8, 9, 10], [7, 99, 99]],
        "token_type_ids": [[0, 0, 1], [0, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
    }


def test_one_row_needs_no_padding_and_stays_a_batch():
    padded = {name: array.tolist() for name, array in TOKENS.padded(np.array([0]), 99).items()}
    assert padded == {"input_ids": [[5, 6]], "token_type_ids": [[0, 1]], "attention_mask": [[1, 1]]}


def test_a_rounded_width_is_the_next_multiple_of_16():
    lengths = np.array([15, 16, 17])
    tokens = Tokens(np.arange(48), np.zeros(48, np.uint8), np.concatenate([[0], lengths.cumsum()]))
    for row, width in enumerate((16, 16, 32)):
        padded = tokens.padded(np.array([row]), 99, round_width=True)
        exact = tokens.padded(np.array([row]), 99)
        assert padded["input_ids"].shape == (1, width) and exact["input_ids"].shape == (1, lengths[row])
        for name, value in (("input_ids", 99), ("token_type_ids", 0), ("attention_mask", 0)):
            assert padded[name][0, : lengths[row]].tolist() == exact[name][0].tolist()
            assert set(padded[name][0, lengths[row] :].tolist()) <= {value}


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=6))
def test_padding_leaves_every_instances_tokens_whole(rows):
    padded = TOKENS.padded(np.array(rows), -1)
    for row, ids, mask in zip(rows, padded["input_ids"], padded["attention_mask"], strict=True):
        start, end = TOKENS.offsets[row : row + 2]
        assert ids[mask == 1].tolist() == TOKENS.ids[start:end].tolist()
        assert set(ids[mask == 0].tolist()) <= {-1}


@pytest.mark.parametrize("content", [None, "{}", "torn {"])
def test_a_tokenizer_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        tokenize(SINGLES.texts, tmp_path / "tokenizer.json", 16)


def cached(dataset, tokenizer, max_length, cache):
    def make():
        return tokens_module.tokenize(dataset.texts, tokenizer, max_length)

    origin = {"data": dataset.content_hash, "max_length": max_length}
    return cached_tokens(make, origin, tokenizer, cache)


def test_tokens_are_made_once_for_a_tokenizer_and_shared(tmp_path, folder, monkeypatch):
    cache = tmp_path / "tokens"
    made = []

    def counting(*arguments):
        made.append(arguments)
        return tokenize(*arguments)

    monkeypatch.setattr(tokens_module, "tokenize", counting)
    for twin in ("one", "two"):
        (tmp_path / twin).mkdir()
        shutil.copy(folder / "tokenizer.json", tmp_path / twin)
        tokens = cached(PAIRS, tmp_path / twin / "tokenizer.json", 12, cache)
        fresh = tokenize(PAIRS.texts, folder / "tokenizer.json", 12)
        for name in ("ids", "types", "offsets"):
            np.testing.assert_array_equal(getattr(tokens, name), getattr(fresh, name))
            assert getattr(tokens, name).dtype == getattr(fresh, name).dtype
    assert len(made) == len(list(cache.iterdir())) == 1
    cached(PAIRS, folder / "tokenizer.json", 13, cache)
    cached(SINGLES, folder / "tokenizer.json", 13, cache)
    assert len(made) == 3


@pytest.mark.parametrize("fault", ["torn", "swapped"])
def test_cached_tokens_that_cannot_be_trusted_are_made_again(tmp_path, folder, caplog, fault):
    fresh = cached(PAIRS, folder / "tokenizer.json", 12, tmp_path / "one")
    (path,) = (tmp_path / "one").iterdir()
    if fault == "torn":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        cached(SINGLES, folder / "tokenizer.json", 12, tmp_path / "other")
        shutil.copy(next((tmp_path / "other").iterdir()), path)
    again = cached(PAIRS, folder / "tokenizer.json", 12, tmp_path / "one")
    np.testing.assert_array_equal(again.ids, fresh.ids)
    assert "making the tokens again" in caplog.text
    caplog.clear()
    cached(PAIRS, folder / "tokenizer.json", 12, tmp_path / "one")
    assert not caplog.text


@pytest.mark.parametrize("max_length", [4, 12, 13, 40, 300])
def test_rows_that_are_cut_are_counted(folder, max_length, tmp_path):
    whole = AutoTokenizer.from_pretrained(folder)(*PAIRS.texts)["input_ids"]
    lengths = [len(ids) for ids in whole]
    lost = [length - max_length for length in lengths if length > max_length]
    expected = Cut(len(lost), 4, max(lengths), tokens=sum(lost))
    assert tokenize(PAIRS.texts, folder / "tokenizer.json", max_length).cut == expected
    for _ in range(2):
        assert cached(PAIRS, folder / "tokenizer.json", max_length, tmp_path).cut == expected


def test_features_of_instances():
    tokens = Tokens(TOKENS.ids, TOKENS.types, TOKENS.offsets, features=np.array([0, 1, 3]))
    assert len(tokens) == 2 and tokens.lengths.tolist() == [2, 3]
    assert tokens.feature_lengths.tolist() == [2, 1, 3]
    assert tokens.features_of(np.array([1, 0])).tolist() == [1, 2, 0]
    assert tokens.padded(tokens.features_of(np.array([1])), 0)["attention_mask"].sum() == 4


def test_texts_of_another_language_are_told_of(folder, caplog):
    tokens = tokenize((["\u0436\u0437 \u0438\u0439 \u043b", "a"],), folder / "tokenizer.json", 32)
    assert ("has no piece for" in caplog.text) == (tokens.unknown > 0.2)


def test_long_rows_come_in_smaller_batches():
    lengths = np.array([4 * LONG_ROW] * 64 + [LONG_ROW] * 64)
    sizes = {int(lengths[rows[0]]): len(rows) for rows in list(budget_batches(lengths, 16 * LONG_ROW))[::-1]}
    assert sizes == {4 * LONG_ROW: 1, LONG_ROW: 16}


def test_what_a_killed_writer_left_beside_cached_tokens_goes(tmp_path, folder):
    def read():
        return cached(PAIRS, folder / "tokenizer.json", 12, tmp_path / "cache")

    read()
    (path,) = (tmp_path / "cache").iterdir()
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    half = path.with_name(f".{path.name}.{platform.node()}-{killed.pid}.tmp")
    half.write_bytes(b"half")
    read()
    assert half.exists()
    killed.kill()
    # Not waited for: it stays a zombie, as below a process that collects no orphans.
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    read()
    assert not half.exists()
    killed.communicate()
