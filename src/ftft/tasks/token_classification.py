"""Token classification: a tag for every word of a sentence, such as those of named entities in BIO2.

The first token of a word carries its tag. p_true of a sentence is the mean probability of the gold tag over
the words that matter: those of gold entities, and those that the model took for a part of one in any epoch.
Most words are no part of an entity and are learnt at once; a mean over all of them would be a map of these.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.dataset import object_array
from ..data.targets import is_bio2, list_of_texts, tagged_words
from ..errors import DataError
from .base import ABSENT, Batch, Kind, Suggestions, true_class_probability

OUTSIDE = 0
POOLS = ("entities", "all_words", "min")
# A sentence's make-up tells entities apart up to this number.
MOST_ENTITIES = 3


class TokenClassification(Kind):
    """Texts: one column of lists of words. Labels: an object array [n] of tag indices [words]."""

    name = "token_classification"
    required = ("labels",)
    optional = ("pool",)
    text_columns = 1
    metrics = ("entity_f1",)
    signals = frozenset({"worst"})
    fewest_labels = 1
    learns = "a tag for every word"
    title = "tagger of words"
    head = "TokenClassification"
    pipeline = "token-classification"
    first_token = False
    issue_scores = ("worst_word",)

    def lists(self, spec: dict) -> list[str]:
        """The words and their tags."""
        return [spec["text"][0], spec["label"]]

    def label_names(self, spec: dict) -> list[str]:
        """The tags: O, and for each entity type B- and I-."""
        return ["O", *chain.from_iterable((f"B-{name}", f"I-{name}") for name in spec.get("labels", ()))]

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Lists of words, and the indices of their tags."""
        words, tags = tagged_words(records, spec, name, self.label_names(spec))
        return (words,), tags

    def label_form(self, spec: dict) -> str:
        """A list."""
        return f"a list in JSON with one of {', '.join(self.label_names(spec))} for every word"

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """The list of a sentence's tags."""
        known = {*self.label_names(spec), *spec.get("label_names", {})}
        words = records[spec["text"][0]].to_pylist()
        found: dict[int, dict[str, str] | None] = {}
        for row, label in labels.items():
            tags = list_of_texts(label)
            fits = tags is not None and len(tags) == len(list_of_texts(words[row]) or ())
            found[row] = {spec["label"]: label} if fits and known.issuperset(tags) else None
        return found

    def width(self, dataset) -> int:
        """Twice the largest number of words: probabilities of gold tags, then predicted tags."""
        return 2 * self.prediction_width(dataset)

    def prediction_width(self, dataset) -> int:
        """The largest number of words."""
        return max(map(len, dataset.labels))

    def targets(self, dataset) -> np.ndarray:
        """Nothing: the tags are aligned with the tokens."""
        return np.zeros(len(dataset), np.int64)

    def chance(self, dataset) -> float:
        """One over the number of tags."""
        return 1 / len(dataset.label_names)

    def make_up(self, dataset) -> np.ndarray:
        """Which entity types a sentence holds, and how many entities, three or more being alike."""
        found = []
        for tags in dataset.labels:
            begun = tags[tags % 2 == 1]
            found.append((min(len(begun), MOST_ENTITIES), *np.unique(begun).tolist()))
        codes = {key: code for code, key in enumerate(sorted(set(found)))}
        return np.array([codes[key] for key in found], np.int64)

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The entity type of a sentence, that it has several, or none."""
        types = [tag.removeprefix("B-") for tag in dataset.label_names[1::2]]
        groups = []
        for tags in dataset.labels:
            own = np.unique(_types(tags[tags != OUTSIDE]))
            groups.append(own[0] + 1 if len(own) == 1 else (len(types) + 1) * (len(own) > 1))
        return np.array(groups, np.int64), ["no entity", *types, "several types"]

    def tokenize(self, dataset, tokenizer_file: str | Path, max_length: int):
        """Each sentence as one feature; beside every word's first token its place and its gold tag."""
        from ..models.tokens import tokenize

        return tokenize(
            dataset.texts, tokenizer_file, max_length, lambda found: _aligned(found, dataset.labels)
        )

    def taken(self, outputs: np.ndarray, rows: np.ndarray, dataset, words: np.ndarray | None) -> np.ndarray:
        """Logits [m, tokens, tags], and by `words` [m, tokens] which word each token is the first of."""
        most = self.prediction_width(dataset)
        lengths = np.array([len(dataset.labels[row]) for row in rows])[:, None]
        shape = (
            len(rows),
            None if words is None or words.ndim != 2 else words.shape[1],
            len(dataset.label_names),
        )
        if outputs.shape != shape or words.shape[0] != len(rows) or (words >= lengths).any():
            raise DataError(
                "these are not logits of tags with the words that their tokens carry",
                got=f"outputs of shape {list(outputs.shape)}, words of shape {list(np.shape(words))}",
                expected=f"outputs [{len(rows)}, tokens, {len(dataset.label_names)}], and words "
                f"[{len(rows)}, tokens] below their row's number of words, -1 where a token carries none",
            )
        recorded = np.full((len(rows), 2 * most), ABSENT, np.float32)
        places, tokens = np.nonzero(words >= 0)
        which = words[places, tokens].astype(np.int64)
        gold = np.array(
            [dataset.labels[rows[place]][word] for place, word in zip(places, which, strict=True)]
        )
        logits = outputs[places, tokens]
        recorded[places, which] = true_class_probability(logits, gold.astype(np.int64))
        recorded[places, most + which] = logits.argmax(-1)
        return recorded

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct, and of the word whose gold tag has the least probability (worst) its place and the
        tag that is predicted. Words that were cut off count for correct alone, as if O had been predicted.
        """
        gold = _padded(dataset.labels, self.prediction_width(dataset))
        matter = self._that_matter([np.split(recorded, 2, axis=1)[1] for recorded in epochs], gold, dataset)
        for recorded in epochs:
            probabilities, tags = np.split(recorded, 2, axis=1)
            probabilities = probabilities.astype(np.float64)
            own = np.where(matter, probabilities, np.nan)
            yield {
                "p_true": self._pooled(own, dataset).astype(np.float32),
                "correct": ((np.maximum(tags, OUTSIDE) == gold) | (gold < OUTSIDE)).all(1),
                **_worst(probabilities, tags),
            }

    def _that_matter(self, predicted: list[np.ndarray], gold: np.ndarray, dataset) -> np.ndarray:
        """Which words p_true is pooled over, the same in all epochs: bool [n, words]."""
        present = (
            np.logical_or.reduce([tags >= OUTSIDE for tags in predicted]) if predicted else gold >= OUTSIDE
        )
        if dataset.settings.get("pool", POOLS[0]) != POOLS[0]:
            return present
        matter = present & np.logical_or.reduce([gold > OUTSIDE, *(tags > OUTSIDE for tags in predicted)])
        return np.where(matter.any(1, keepdims=True), matter, present)

    def _pooled(self, probabilities: np.ndarray, dataset) -> np.ndarray:
        """The mean [n], or the least, of the numbers in each row; 0 where a row has none."""
        numbers = ~np.isnan(probabilities)
        if dataset.settings.get("pool") == "min":
            return _least(probabilities)
        return np.nansum(probabilities, 1) / np.maximum(1, numbers.sum(1))

    def suggestions(self, logits: None, own: dict[str, np.ndarray], dataset) -> Suggestions:
        """The tags with the predicted one at the word that looks worst in the last epoch, where they are
        BIO2 with it.
        """
        names, remarks, suggested = dataset.label_names, {}, [""] * len(dataset)
        last = zip(*(own[name][-1].tolist() for name in ("worst", "worst_place", "worst_tag")), strict=True)
        for row, (probability, place, tag) in enumerate(last):
            given = names[dataset.labels[row][place]]
            if given != names[tag]:
                tags = [names[own] for own in dataset.labels[row]]
                tags[place] = names[tag]
                if not is_bio2(tags):
                    tags[place] = names[tag].replace("I-", "B-", 1)
                suggested[row] = json.dumps(tags) if is_bio2(tags) and tags[place] != given else ""
                remarks[row] = (
                    f" The worst word is {dataset.texts[0][row][place]!r}: its tag {given} has probability "
                    f"{probability:.2f} in the last epoch, {names[tag]} is predicted."
                )
        given = self.in_words(dataset.labels, dataset)
        return Suggestions(given, suggested, remarks=remarks)

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """The list of a sentence's tags, as JSON."""
        return [json.dumps([dataset.label_names[tag] for tag in tags]) for tags in targets]

    def readable(self, label: str, texts: Sequence) -> str:
        """The sentence with its entities in brackets."""
        return _bracketed(texts[0], json.loads(label))

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The tags of every sentence's words, O where one was cut off: an object array of int64 [words]."""
        tags = np.maximum(outputs, OUTSIDE).astype(np.int64)
        return object_array([own[: len(gold)] for own, gold in zip(tags, dataset.labels, strict=True)])

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """Nothing: the outputs are the predictions."""
        return {}

    def shown(self, texts: Sequence[list], labels: np.ndarray, label_names: Sequence[str]) -> list[list[str]]:
        """Sentences with their entities in brackets: [John Smith]PER lives in [Paris]LOC."""
        tagged = zip(texts[0], labels, strict=True)
        return [[_bracketed(words, [label_names[tag] for tag in tags]) for words, tags in tagged]]

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """The pipeline for token classification, asked for whole entities."""
        return (
            "from transformers import pipeline\n\n"
            f'tag = pipeline("{self.pipeline}", "path/of/this/folder", aggregation_strategy="first")\n'
            'tag("a text")'
        )

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a head that gives every token a tag."""
        from ..models.heads import load_tagger

        return load_tagger(folder, label_names, own_kernels)

    def compared(self, targets, batch: Batch):
        """The words' places and gold tags, [b, tokens] each, -1 where a token carries no word."""
        return batch.aligned

    def losses(self, outputs, targets):
        """Cross-entropy of the tags, the mean over an instance's words."""
        from torch.nn.functional import cross_entropy

        each = cross_entropy(outputs.transpose(1, 2), targets["tag"], ignore_index=-1, reduction="none")
        return each.sum(1) / (targets["tag"] >= OUTSIDE).sum(1).clamp(min=1)

    def recorded(self, outputs, targets, width: int):
        """Probabilities of the words' gold tags, then predicted tags; `base.ABSENT` where no word is."""
        import torch

        gold = targets["tag"].clamp(min=OUTSIDE)[..., None]
        probabilities = outputs.softmax(-1).gather(-1, gold)[..., 0]
        words = width // 2
        return torch.cat(
            [_by_word(values, targets["word"], words) for values in (probabilities, outputs.argmax(-1))], 1
        )

    def predicted(self, outputs, batch: Batch):
        """The tag of every word, [b, width]."""
        return _by_word(outputs.argmax(-1), batch.aligned["word"], batch.width)


def _least(probabilities: np.ndarray) -> np.ndarray:
    """The least of the numbers in each row, [n]; 0 where a row has none."""
    numbers = ~np.isnan(probabilities)
    return np.where(numbers.any(1), np.where(numbers, probabilities, 1.0).min(1), 0.0)


def _worst(probabilities: np.ndarray, tags: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of the worst word of each sentence, of float64 and predicted tags [n, words]; a sentence
    that was cut off whole has the first word, and O.
    """
    seen = np.where(tags >= OUTSIDE, probabilities, np.nan)
    place = np.where(np.isnan(seen), np.inf, seen).argmin(1)
    tag = np.maximum(tags[np.arange(len(tags)), place], OUTSIDE)
    return {
        "worst": _least(seen).astype(np.float32),
        "worst_place": place.astype(np.int32),
        "worst_tag": tag.astype(np.int32),
    }


def _types(tags: np.ndarray) -> np.ndarray:
    """The places, in order, of the types that tags other than O are of."""
    return (tags - 1) // 2


def _aligned(encodings: Sequence, labels: np.ndarray) -> dict[str, np.ndarray]:
    words, tags = [], []
    for encoding, own in zip(encodings, labels, strict=True):
        before = None
        for word in encoding.word_ids or [None]:
            first = word is not None and word != before
            words.append(word if first else -1)
            tags.append(own[word] if first else -1)
            before = word
    return {"word": np.array(words, np.int32), "tag": np.array(tags, np.int32)}


def _padded(labels: np.ndarray, width: int) -> np.ndarray:
    padded = np.full((len(labels), width), -1)
    for row, tags in enumerate(labels):
        padded[row, : len(tags)] = tags
    return padded


def _by_word(values, words, width: int):
    """Values [b, tokens] of tokens that carry words, at the places of these words: float32 [b, width]."""
    import torch

    found = values.new_full((len(values), width + 1), ABSENT, dtype=torch.float32)
    # What carries no word goes to a place beside all words.
    found.scatter_(1, words.where(words >= 0, width), values.float())
    return found[:, :width]


def _bracketed(words: Sequence[str], tags: Sequence[str]) -> str:
    parts: list[str] = []
    following = [*tags, "O"]
    for place, word in enumerate(words):
        tag, after = following[place], following[place + 1]
        opened = "[" if tag.startswith("B-") else ""
        closed = f"]{tag[2:]}" if tag != "O" and not after.startswith("I-") else ""
        parts.append(f"{opened}{word}{closed}")
    return " ".join(parts)
