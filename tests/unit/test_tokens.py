import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ftft.data.dataset import Dataset
from ftft.errors import ModelError
from ftft.models.encoders import SPECIAL_TOKENS, train_tokenizer
from ftft.models.tokens import Tokens, tokenize

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
    tokens = tokenize(dataset, folder / "tokenizer.json", max_length)
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
        tokenize(SINGLES, tmp_path / "tokenizer.json", 16)
