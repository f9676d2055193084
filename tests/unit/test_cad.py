"""CAD's preparations on made-up annotations; test_conformance.py has those on real rows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.errors import DataError
from ftft.paper.cad import FOLDS, SPLITS, _clean, _deal, prepare

IDENTITY, PERSON, NEUTRAL = "IdentityDirectedAbuse", "PersonDirectedAbuse", "Neutral"


def annotation(post, text, label=NEUTRAL, split="train", context='"NA"'):
    return {
        "id": "cad_1",
        "info_id": post,
        "annotation_Primary": label,
        "annotation_Context": context,
        "meta_author": f"author of {post}",
        "split": split,
        "meta_text": text,
    }


def prepared(annotations, split="train", preparation="ramponi-tonelli"):
    posts, _ = prepare(annotations, split, preparation, "train")
    return posts


def pool(annotations):
    """All splits of the pooled preparation: label by text."""
    return {row["text"]: row["label"] for split in SPLITS for row in prepared(annotations, split)}


def many(posts=100):
    return [annotation(f"p{n:03}", f"text {n}", IDENTITY if n % 10 == 0 else NEUTRAL) for n in range(posts)]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  Text IN Capitals ", "text in capitals"),
        ("a &amp; b &gt; c", "a & b > c"),
        (r"\*bold\_text\* \\ C:\\new", r"*bold_text* \ c:\new"),
        ("mail Jo.Doe+x@mail.example.org!", "mail [EMAIL]!"),
        ("see https://a.b/c?d=e#f, (http://x.y) and www.z.org/q", "see [URL] ([URL]) and [URL]"),
        (
            "the [words](https://a.b/c) of [a bot](/r/bots/) [here](/message/compose?to=x)",
            "the words of a bot here",
        ),
        ("/u/Some_One in /r/Somewhere said u/else", "[USER] in [USER] said u/else"),
        ("#ThisIsATest and #1", "this is a test and 1"),
        ("one[linebreak][linebreak]two\tthree\u00a0four", "one  two three four"),
        ("👩\u200d👧 🙂", "👩 👧 🙂"),
        ("null", "null"),
        ('"quoted', '"quoted'),
    ],
)
def test_texts_are_cleaned(raw, clean):
    assert _clean(raw) == clean


def test_rows_of_one_post_are_merged_and_any_identity_label_is_hateful():
    rows = [
        annotation("a", "first", PERSON),
        annotation("b", "second", PERSON),
        annotation("a", "first", IDENTITY),
        annotation("a", "first", IDENTITY),
        annotation("c", "third", "Slur"),
    ]
    hateful = {"first": "hateful", "second": "not_hateful", "third": "not_hateful"}
    assert pool(rows) == hateful
    assert {row["text"]: row["label"] for row in prepared(rows, preparation="official")} == hateful


def test_the_pool_holds_all_splits_and_drops_what_needs_other_posts():
    rows = [
        annotation("a", "kept", split="train"),
        annotation("b", "kept too", IDENTITY, split="dev", context="CurrentContent"),
        annotation("c", "and this", split="test"),
        annotation("d", "needs its parent", IDENTITY, context="PreviousContent"),
        annotation("e", "a bot's", split="exclude_bot"),
        annotation("f", "  "),
        annotation("g", "[linebreak]"),
    ]
    assert set(pool(rows)) == {"kept", "kept too", "and this"}


def test_a_posts_label_that_needs_other_posts_goes_alone():
    rows = [annotation("a", "text", PERSON), annotation("a", "text", IDENTITY, context="PreviousContent")]
    assert pool(rows) == {"text": "not_hateful"}


def test_equal_texts_are_kept_once_and_contradictions_dropped():
    rows = [
        annotation("a", "Same"),
        annotation("b", "same "),
        annotation("c", "torn"),
        annotation("d", "torn[linebreak]", PERSON),
        annotation("e", "null"),
    ]
    assert pool(rows) == {"same": "not_hateful", "null": "not_hateful"}


def test_every_step_is_counted():
    rows = [
        *many(20),
        annotation("x", "text 1"),
        annotation("x", "text 1", "Slur"),
        annotation("y", "a", context="PreviousContent"),
        annotation("z", ""),
        annotation("w", "b", split="exclude_lang"),
    ]
    posts, steps = prepare(rows, "validation", "ramponi-tonelli", "validation")
    assert [step["rows"] for step in steps] == [24, 23, 22, 21, 19, 2] and len(posts) == 2
    assert steps[-1]["step"] == "validation folds"
    _, steps = prepare(rows, "train", "official", "train")
    assert [step["rows"] for step in steps] == [24, 23, 22]


def test_the_pool_is_dealt_eighty_ten_ten_with_equal_shares():
    splits = {split: prepared(many(), split) for split in SPLITS}
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 80, "validation": 10, "test": 10}
    hateful = {split: sum(row["label"] == "hateful" for row in rows) for split, rows in splits.items()}
    assert hateful == {"train": 8, "validation": 1, "test": 1}
    assert len({row["uid"] for rows in splits.values() for row in rows}) == 100


def test_the_pooled_splits_are_the_published_ones():
    # Golden: random.seed(42) and shuffle, scikit-learn's StratifiedKFold(10), random.seed(42) and shuffle.
    rows = prepared(list(reversed(many())), "validation")
    assert [row["text"].split()[1] for row in rows] == [
        "11",
        "97",
        "88",
        "69",
        "54",
        "75",
        "86",
        "4",
        "20",
        "27",
    ]
    assert [row["text"].split()[1] for row in prepared(many())][:4] == ["46", "67", "49", "40"]
    assert rows[0]["uid"] == "ade4f54334060662"  # BLAKE2b of "text 11", 8 bytes


def test_the_official_split_keeps_ids_texts_and_order():
    rows = [
        annotation("b", " Text[linebreak] &amp; "),
        annotation("a", '"A', IDENTITY, context="PreviousContent"),
        annotation("c", " ", IDENTITY),
        annotation("d", "x", split="dev"),
        annotation("e", "x", split="test"),
        annotation("f", "null"),
    ]
    assert prepared(rows, "train", "official") == [
        {"uid": "b", "text": "Text[linebreak] &amp;", "label": "not_hateful"},
        {"uid": "a", "text": '"A', "label": "hateful"},
        {"uid": "f", "text": "null", "label": "not_hateful"},
    ]
    assert [row["uid"] for row in prepared(rows, "validation", "official")] == ["d"]
    assert [row["uid"] for row in prepared(rows, "test", "official")] == ["e"]


def test_folds_are_dealt_by_hand():
    # Positions among the sorted strata: a 0-10, b 11-12; a deals 0..9 and 0 again, b deals 1 and 2.
    strata = [frozenset(label) for label in "aabaaaaaabaaa"]
    assert _deal(strata) == [0, 0, 1, 1, 2, 3, 4, 5, 6, 2, 7, 8, 9]


@given(st.lists(st.sampled_from("aaab"), min_size=1, max_size=200))
def test_folds_are_even_in_size_and_in_every_stratum(labels):
    folds = _deal([frozenset(label) for label in labels])
    for chosen in ({"a", "b"}, {"a"}, {"b"}):
        sizes = Counter(fold for fold, label in zip(folds, labels, strict=True) if label in chosen)
        assert max(sizes.values(), default=0) - min(sizes.get(fold, 0) for fold in range(FOLDS)) <= 1


@pytest.mark.parametrize("preparation", ["ramponi-tonelli", "official"])
def test_another_file_is_refused(preparation):
    with pytest.raises(DataError) as caught:
        prepare([{"id": "1", "text": "a", "labels": NEUTRAL}], "train", preparation, "cad")
    for text in (
        "'cad' is not the file of CAD",
        "info_id, meta_text",
        "got: columns id, text, labels",
        "source: file",
    ):
        assert text in str(caught.value)


@pytest.mark.parametrize("preparation", ["ramponi-tonelli", "official"])
@pytest.mark.parametrize("rows", [[], [annotation("a", "x", split="exclude_bot")]])
def test_nothing_to_prepare_is_no_row(rows, preparation):
    assert prepared(rows, "train", preparation) == []
