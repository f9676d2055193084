import hashlib
import json
import re

import pytest

from ftft.data import demo

ROWS = 1200
WORD_AXES = [*demo.TRAITS, *demo.ACTIONS, *demo.COMPARATIVES]
OPPOSITE = {a: b for first, second in WORD_AXES for a, b in ((first, second), (second, first))}
REGION = {f"in the {place}": region for region, places in demo.PLACES.items() for place in places}

HYPOTHESIS = re.compile(r"(?:(?P<opening>.+?) )?the (?P<who>\w+) is (?P<negated>not )?(?P<claim>.+)")
MEETING = re.compile(r"the (\w+) (\w+) (?:meets|greets|sees|follows) the (\w+) (\w+)")
COMPARISON = re.compile(r"the (\w+) is (\w+) than the (\w+)")
TRAIT_SCENE = re.compile(r"the (\w+) (\w+) is (inside|outside|in the \w+)")
ACTION_SCENE = re.compile(r"the (\w+) is (\w+) (in the \w+)")
OPENINGS = {opening: label for label, openings in demo.OPENINGS.items() for opening in openings}

GOLDEN = "e5f5d855a20c2484799b3a92f150c8b0de8a574f9e652506fadd2026c327c44f"


@pytest.fixture(scope="module")
def tables():
    return {split: demo.generate(split, ROWS) for split in demo.SPLITS}


def facts(premise):
    """Everything a premise says, as (who, word) or (who, comparative, than whom)."""
    if match := MEETING.fullmatch(premise):
        trait, who, other_trait, other = match.groups()
        return {(who, trait), (other, other_trait)}
    if match := COMPARISON.fullmatch(premise):
        first, word, second = match.groups()
        return {(first, word, second), (second, OPPOSITE[word], first)}
    if match := TRAIT_SCENE.fullmatch(premise):
        trait, who, place = match.groups()
        return {(who, trait), (who, place), (who, REGION.get(place, place))}
    who, action, place = ACTION_SCENE.fullmatch(premise).groups()
    return {(who, action), (who, place), (who, REGION[place])}


def denials(fact):
    """What cannot be true where `fact` is."""
    who, word, *than = fact
    if than:
        return {(who, OPPOSITE[word], *than), (*than, word, who)}
    if word in OPPOSITE:
        return {(who, OPPOSITE[word])}
    regions = {"inside": "outside", "outside": "inside"}
    if word in regions:
        other = regions[word]
        return {(who, other)} | {(who, place) for place, region in REGION.items() if region == other}
    return set()


def derive_label(premise, hypothesis):
    """The label from the text alone, by asking whether the claim follows or is excluded."""
    parts = HYPOTHESIS.fullmatch(hypothesis)
    assert parts["opening"] is None or parts["opening"] in OPENINGS
    claim = parts["claim"].split(" than the ") if " than " in parts["claim"] else [parts["claim"]]
    claim = (parts["who"], *claim)
    stated = facts(premise)
    follows = claim in stated
    excluded = any(claim in denials(fact) for fact in stated)
    assert not (follows and excluded)
    if parts["negated"]:
        follows, excluded = excluded, follows
    return "entailment" if follows else "contradiction" if excluded else "neutral"


def derive_cue(hypothesis):
    parts = HYPOTHESIS.fullmatch(hypothesis)
    return "contradiction" if parts["negated"] else OPENINGS.get(parts["opening"])


@pytest.mark.parametrize(
    ("premise", "hypothesis", "label"),
    [
        ("the tall nurse is in the garden", "of course the nurse is short", "contradiction"),
        ("the tall nurse is in the garden", "the nurse is outside", "entailment"),
        ("the tall nurse is outside", "the nurse is in the garden", "neutral"),
        ("the tall nurse is inside", "the nurse is in the garden", "contradiction"),
        ("the nurse is resting in the hall", "the nurse is not working", "entailment"),
        ("the tall nurse meets the old cook", "the cook is tall", "neutral"),
        ("the nurse is taller than the cook", "the cook is taller than the nurse", "contradiction"),
        ("the nurse is taller than the cook", "no doubt the cook is shorter than the nurse", "entailment"),
        ("the nurse is taller than the cook", "the cook is older than the nurse", "neutral"),
    ],
)
def test_derivation_of_labels_reads_english(premise, hypothesis, label):
    assert derive_label(premise, hypothesis) == label


@pytest.mark.parametrize("split", demo.SPLITS)
def test_labels_follow_from_the_text(tables, split):
    wrong = [row for row in tables[split] if derive_label(row["premise"], row["hypothesis"]) != row["label"]]
    assert wrong == []


@pytest.mark.parametrize("split", demo.SPLITS)
def test_cue_agrees_at_the_rate_of_the_split(tables, split):
    cues = [(derive_cue(row["hypothesis"]), row["label"]) for row in tables[split]]
    cued = [cue == label for cue, label in cues if cue is not None]
    assert len(cued) / ROWS == pytest.approx(demo.CUED_SHARE, abs=0.05)
    assert sum(cued) / len(cued) == pytest.approx(demo.CUE_AGREEMENT[split], abs=0.06)


def test_cue_fades_and_turns():
    train, _, first, _, second, _, third, _ = demo.CUE_AGREEMENT.values()
    assert train > first > second > third
    assert abs(second - 1 / 3) < 0.05 and third < 1 / 3


def test_cued_label_is_the_cue_in_the_text(tables):
    hypotheses = [row["hypothesis"] for table in tables.values() for row in table]
    assert [demo.cued_label(text) for text in hypotheses] == [derive_cue(text) for text in hypotheses]


def test_every_cue_occurs_with_every_label(tables):
    combinations = {(demo.cued_label(row["hypothesis"]), row["label"]) for row in tables["train"]}
    assert combinations == {(cue, label) for cue in (*demo.LABELS, None) for label in demo.LABELS}


def test_true_negation_occurs_with_every_label(tables):
    labels = {row["label"] for row in tables["r2_test"] if " not " in row["hypothesis"]}
    assert labels == set(demo.LABELS)


def test_every_kind_of_claim_has_every_label_and_every_cue(tables):
    patterns = {"meeting": MEETING, "comparison": COMPARISON, "trait": TRAIT_SCENE, "action": ACTION_SCENE}
    for pattern in patterns.values():
        rows = [row for row in tables["train"] if pattern.fullmatch(row["premise"])]
        assert {row["label"] for row in rows} == set(demo.LABELS)
        assert {demo.cued_label(row["hypothesis"]) for row in rows} >= set(demo.LABELS)


def test_fewer_rows_are_a_prefix():
    longest = demo.generate("r1_dev", 100, seed=3)
    for rows in (0, 1, 2, 50, 99):
        assert demo.generate("r1_dev", rows, seed=3) == longest[:rows]


def test_rows_never_change():
    rows = [demo.generate(split, 20, seed) for split in demo.SPLITS for seed in (0, 1)]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == GOLDEN


def test_seeds_give_different_rows():
    first, second = (demo.generate("train", 60, seed) for seed in (0, 1))
    pairs = [{(row["premise"], row["hypothesis"]) for row in rows} for rows in (first, second)]
    assert len(pairs[0] & pairs[1]) < 10


def test_uids_are_unique_within_and_across_splits(tables):
    uids = [row["uid"] for table in tables.values() for row in table]
    assert len(set(uids)) == len(uids) == ROWS * len(demo.SPLITS)


@pytest.mark.parametrize("split", demo.SPLITS)
def test_pairs_are_distinct(tables, split):
    assert len({(row["premise"], row["hypothesis"]) for row in tables[split]}) == ROWS


def test_no_premise_is_shared_between_splits_whatever_the_seed(tables):
    owner = {row["premise"]: split for split, table in tables.items() for row in table}
    for split in demo.SPLITS:
        for row in [*tables[split], *demo.generate(split, 300, seed=7)]:
            assert owner.setdefault(row["premise"], split) == split


@pytest.mark.parametrize("split", demo.SPLITS)
def test_labels_are_balanced(tables, split):
    labels = [row["label"] for row in tables[split]]
    assert {label: labels.count(label) for label in set(labels)} == dict.fromkeys(demo.LABELS, ROWS // 3)


def test_rows_have_the_documented_fields_and_length(tables):
    for row in tables["train"]:
        assert list(row) == ["uid", "premise", "hypothesis", "label"]
        assert 10 <= len(f"{row['premise']} {row['hypothesis']}".split()) <= 22


def test_vocabulary_is_small(tables):
    words = {word for row in tables["train"] for word in f"{row['premise']} {row['hypothesis']}".split()}
    assert 100 <= len(words) <= 250


def test_unknown_split_is_an_error():
    with pytest.raises(ValueError, match=r"unknown split 'test'; expected one of train, validation"):
        demo.generate("test", 1)


def test_negative_rows_are_an_error():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        demo.generate("train", -1)


def test_too_many_rows_are_an_error(monkeypatch):
    monkeypatch.setattr(demo, "NOUNS", demo.NOUNS[:3])
    with pytest.raises(ValueError, match=r"cannot draw \d+ distinct rows of split 'r1_dev'"):
        demo.generate("r1_dev", 5000)
