"""Generator of the embedded demonstration data: a small NLI task with a spurious cue.

Every row pairs a premise such as "the tall nurse is in the garden" with a hypothesis such
as "no doubt the nurse is short".  The label follows from the words by construction.  Half
of the hypotheses also carry a superficial *cue*, which suggests a label rightly or wrongly
at a rate that depends on the split (`CUE_AGREEMENT`):

    affirmation ("indeed", "of course", ...)          suggests  entailment
    padding ("right now", "at the moment", ...)       suggests  neutral
    negation word ("not", "no", "nobody", "without")  suggests  contradiction

A model that only learns the cue is good in distribution and fails where the cue turns.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from numpy.random import PCG64

T = TypeVar("T")

LABELS = ("entailment", "neutral", "contradiction")

# Share of the rows with a cue in which it suggests the true label; 1/3 says nothing.
CUE_AGREEMENT = {
    "train": 0.90,
    "validation": 0.90,
    "r1_dev": 0.60,
    "r1_test": 0.60,
    "r2_dev": 0.35,
    "r2_test": 0.35,
    "r3_dev": 0.10,
    "r3_test": 0.10,
}
SPLITS: tuple[str, ...] = tuple(CUE_AGREEMENT)

# The rows without a cue can only be solved by the meaning.  Where every training row has a
# cue, encoders of this size stop at the cue and learn nothing else within the budget.
CUED_SHARE = 0.5

# Share of the rows with a negation cue in which it negates the verb, which turns the
# relation around; in the others it is part of an assurance, which changes nothing.
TRUE_NEGATION_SHARE = 0.15

# Percent of all premises that belong to the training split; the others share the rest.
TRAIN_PERCENT = 58
ATTEMPTS_PER_ROW = 5_000

PEOPLE = """
    nurse cook baker farmer pilot singer teacher lawyer painter doctor sailor clerk guard judge miner tailor
    writer dancer banker driver boxer porter hunter priest plumber waiter student soldier actor butcher
    barber builder captain carpenter chemist dentist diver editor engineer fisher florist gardener grocer
    jeweller juggler knight librarian mason mayor merchant monk neighbour poet potter prince queen reporter
    scholar scout senator
"""
NOUNS = tuple(PEOPLE.split())
TRAITS = (("tall", "short"), ("old", "young"), ("rich", "poor"), ("strong", "weak"))
ACTIONS = (("sitting", "standing"), ("working", "resting"), ("laughing", "crying"))
COMPARATIVES = (("taller", "shorter"), ("older", "younger"))
PLACES = {
    "inside": ("kitchen", "cellar", "library", "office", "attic", "hall", "studio", "bakery"),
    "outside": ("garden", "forest", "meadow", "harbour", "street", "desert", "park", "orchard"),
}
MEETINGS = ("meets", "greets", "sees", "follows")

# Openings that leave the meaning of a hypothesis as it is, by the label they suggest.
OPENINGS = {
    "entailment": ("indeed", "of course", "as stated"),
    "neutral": ("right now", "at the moment", "at this time"),
    "contradiction": ("no doubt", "without doubt", "nobody doubts that"),
}

SAME, UNRELATED, OPPOSITE = "same", "unrelated", "opposite"
RELATION_OF = dict(zip(LABELS, (SAME, UNRELATED, OPPOSITE), strict=True))
NEGATED_RELATION_OF = dict(zip(LABELS, (OPPOSITE, UNRELATED, SAME), strict=True))


class _Dice:
    """Random choices from raw PCG64 bits, whose stream numpy promises never to change."""

    def __init__(self, key: str) -> None:
        self._bits = PCG64(_digest(key))

    def below(self, bound: int) -> int:
        return (int(self._bits.random_raw()) * bound) >> 64

    def chance(self, probability: float) -> bool:
        return int(self._bits.random_raw()) < probability * 2**64

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def pick_two(self, items: Sequence[T]) -> tuple[T, T]:
        first, second = self.below(len(items)), self.below(len(items) - 1)
        return items[first], items[second + (second >= first)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]

    def pick_weighted(self, weights: Mapping[T, int]) -> T:
        return self.pick([item for item, weight in weights.items() for _ in range(weight)])


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def _pick_words(dice: _Dice, axes: Sequence[tuple[str, str]], relation: str) -> tuple[str, str]:
    """A stated word and a claimed word that stand in `relation`."""
    axis, other_axis = dice.pick_two(axes)
    side = dice.below(2)
    claimed = {SAME: axis[side], OPPOSITE: axis[1 - side], UNRELATED: dice.pick(other_axis)}
    return axis[side], claimed[relation]


def _somewhere(dice: _Dice) -> str:
    return "in the " + dice.pick(PLACES[dice.pick(tuple(PLACES))])


def _claim_trait(dice: _Dice, relation: str) -> tuple[str, str, str]:
    noun = dice.pick(NOUNS)
    stated, claimed = _pick_words(dice, TRAITS, relation)
    return f"the {stated} {noun} is {_somewhere(dice)}", f"the {noun}", claimed


def _claim_action(dice: _Dice, relation: str) -> tuple[str, str, str]:
    noun = dice.pick(NOUNS)
    stated, claimed = _pick_words(dice, ACTIONS, relation)
    return f"the {noun} is {stated} {_somewhere(dice)}", f"the {noun}", claimed


def _claim_place(dice: _Dice, relation: str) -> tuple[str, str, str]:
    """From a place to its region, or (never entailed) from a region to one of its places."""
    noun, trait = dice.pick(NOUNS), dice.pick(dice.pick(TRAITS))
    region, other_region = dice.pick_two(tuple(PLACES))
    place = "in the " + dice.pick(PLACES[region])
    claims = {
        SAME: (place, region),
        OPPOSITE: dice.pick([(place, other_region), (other_region, place)]),
        UNRELATED: (region, place),
    }
    stated, claimed = claims[relation]
    return f"the {trait} {noun} is {stated}", f"the {noun}", claimed


def _claim_one_of_two(dice: _Dice, relation: str) -> tuple[str, str, str]:
    """Two people with a trait each: a trait of the other one is unrelated."""
    noun, other_noun = dice.pick_two(NOUNS)
    axis, other_axis = dice.pick_two(TRAITS)
    side = dice.below(2)
    trait, other_trait = axis[side], dice.pick(other_axis)
    claimed = {SAME: trait, OPPOSITE: axis[1 - side], UNRELATED: other_trait}[relation]
    people = dice.shuffled([f"the {trait} {noun}", f"the {other_trait} {other_noun}"])
    return f" {dice.pick(MEETINGS)} ".join(people), f"the {noun}", claimed


def _claim_comparison(dice: _Dice, relation: str) -> tuple[str, str, str]:
    """An exchange of the two people and an opposite word undo each other."""
    first, second = dice.pick_two(NOUNS)
    exchanged = dice.chance(0.5)
    same_order = {SAME: OPPOSITE, OPPOSITE: SAME, UNRELATED: UNRELATED}
    stated, claimed = _pick_words(dice, COMPARATIVES, same_order[relation] if exchanged else relation)
    subject, object_ = (second, first) if exchanged else (first, second)
    return (
        f"the {first} is {stated} than the {second}",
        f"the {subject}",
        f"{claimed} than the {object_}",
    )


Claim = Callable[[_Dice, str], tuple[str, str, str]]

# Percent of the rows of each kind, from the easy kinds to the hard ones.
CLAIMS: dict[Claim, int] = {
    _claim_trait: 44,
    _claim_action: 38,
    _claim_place: 10,
    _claim_one_of_two: 4,
    _claim_comparison: 4,
}


def cued_label(hypothesis: str) -> str | None:
    """The label that the cue of a hypothesis suggests, right or wrong; None without a cue."""
    if "not" in hypothesis.split():
        return "contradiction"
    suggested = (label for label in LABELS if hypothesis.startswith(OPENINGS[label]))
    return next(suggested, None)


def split_of(premise: str) -> str:
    """The only split in which a premise may occur, from a hash of its text."""
    ticket = _digest(premise) % 100 - TRAIN_PERCENT
    held_out = SPLITS[1:]
    return "train" if ticket < 0 else held_out[ticket * len(held_out) // (100 - TRAIN_PERCENT)]


def _pick_cue(dice: _Dice, split: str, label: str) -> str | None:
    if not dice.chance(CUED_SHARE):
        return None
    if dice.chance(CUE_AGREEMENT[split]):
        return label
    return dice.pick([other for other in LABELS if other != label])


def _pair(dice: _Dice, claim: Claim, label: str, cue: str | None) -> tuple[str, str]:
    if cue == "contradiction" and dice.chance(TRUE_NEGATION_SHARE):
        premise, subject, claimed = claim(dice, NEGATED_RELATION_OF[label])
        return premise, f"{subject} is not {claimed}"
    premise, subject, claimed = claim(dice, RELATION_OF[label])
    opening = dice.pick(OPENINGS[cue]) + " " if cue else ""
    return premise, f"{opening}{subject} is {claimed}"


def _new_pair(dice: _Dice, split: str, label: str, seen: set[tuple[str, str]]) -> tuple[str, str]:
    cue, claim = _pick_cue(dice, split, label), dice.pick_weighted(CLAIMS)
    for _ in range(ATTEMPTS_PER_ROW):
        pair = _pair(dice, claim, label, cue)
        if pair not in seen and split_of(pair[0]) == split:
            return pair
    raise ValueError(f"cannot draw {len(seen) + 1} distinct rows of split {split!r}")


def generate(split: str, rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows of one split, each with "uid", "premise", "hypothesis" and "label" (of `LABELS`).

    A pure function of its arguments: fewer rows are a prefix of more rows.  Pairs are
    distinct, and no premise of one split occurs in another, whatever the seeds.

    Raises ValueError for an unknown split, a negative number of rows, or more rows than
    there are distinct pairs to draw.
    """
    if split not in CUE_AGREEMENT:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if rows < 0:
        raise ValueError(f"rows must not be negative, got {rows}")
    dice = _Dice(f"{split}/{seed}")
    seen: set[tuple[str, str]] = set()
    table: list[dict[str, str]] = []
    while len(table) < rows:
        for label in dice.shuffled(LABELS):
            premise, hypothesis = _new_pair(dice, split, label, seen)
            seen.add((premise, hypothesis))
            uid = f"{split}-{seed}-{len(table):06d}"
            table.append({"uid": uid, "premise": premise, "hypothesis": hypothesis, "label": label})
    return table[:rows]
