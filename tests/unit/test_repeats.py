import numpy as np
import pytest

from ftft.data.repeats import groups_of, signatures, similarity

WORDS = [
    "the",
    "cook",
    "sings",
    "about",
    "rivers",
    "and",
    "mountains",
    "while",
    "rain",
    "falls",
    "on",
    "roofs",
]


def sentences(count, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, 12)) + f" {row}" for row in range(count)]


def by_hand(texts, threshold):
    """The groups of all pairs that are similar enough in every column, found pair by pair."""
    count = len(texts[0])
    group = list(range(count))
    for one in range(count):
        for other in range(one):
            if all(similarity(column[one], column[other]) >= threshold for column in texts):
                low, high = sorted((group[one], group[other]))
                group = [low if own == high else own for own in group]
    return group


def test_the_similarity_is_the_share_of_common_runs_of_five_characters():
    # abcde, bcdef and bcdef, cdefg: one of three in common.
    assert similarity("abcdef", "bcdefg") == 1 / 3
    assert similarity("ab", "ab") == 1 and similarity("ab", "abc") == 0


def test_groups_are_those_of_all_pairs():
    texts = sentences(60)
    texts += [text.replace("the", "a", 1) for text in texts[:30]] + texts[:5]
    found = groups_of([texts], 0.8)
    assert found.tolist() == by_hand([texts], 0.8)
    assert 5 < len(set(found.tolist())) < len(texts) - 5


def test_every_column_must_be_similar():
    long = " ".join(WORDS * 3)
    assert groups_of([[long] * 3, ["it rains", "it snows", "it rains"]], 0.8).tolist() == [0, 1, 0]


def test_groups_do_not_depend_on_the_rest():
    texts = sentences(20)
    assert groups_of([[*texts, "x"]], 0.8).tolist()[:20] == groups_of([texts], 0.8).tolist()


@pytest.mark.parametrize("text", ["", "\ud800 alone", "👍", "a"])
def test_short_and_strange_texts_have_signatures(text):
    found = signatures([[text, text, "something else"]])
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()


def test_signatures_agree_as_often_as_shingles():
    one, other = " ".join(WORDS), " ".join([*WORDS[:-3], "pours on walls"])
    found = signatures([[one, other]])
    # 60 hashes: the standard deviation of their agreement is at most 0.065.
    assert abs((found[0] == found[1]).mean() - similarity(one, other)) < 0.2
