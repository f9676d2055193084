"""What `ftft init` notices about the labels of a file."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from .columns import present

# How the hub marks rows that annotators did not agree on, where classes are numbered.
NO_GOLD_LABEL = "-1"
# A class with a smaller part of what an even share of the rows would give it is rare, or makes a task uneven.
RARE, UNEVEN = 0.1, 0.5
SHOWN = 5


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Labels in order, as numbers where all are numbers."""
    try:
        return sorted(labels, key=int)
    except ValueError:
        return sorted(labels)


def classes_of(labels: Iterable[str | None]) -> list[str]:
    """The classes of a label column in order, without the mark of rows that have none."""
    found = set(present(labels))
    if NO_GOLD_LABEL in found and all(label.isdigit() for label in found - {NO_GOLD_LABEL}):
        found.remove(NO_GOLD_LABEL)
    return sorted_labels(found)


def smallest_share(counts: Counter) -> float:
    """What the rarest class has of an even share of the rows."""
    return min(counts.values()) * len(counts) / counts.total()


def doubtful_labels(labels: list[str | None], file: str) -> Iterator[str]:
    """What is doubtful about the classes of a file, each said once."""
    counts = Counter(present(labels))
    spellings = defaultdict(list)
    for label in sorted(counts):
        spellings[" ".join(label.casefold().split())].append(label)
    if alike := [found for found in spellings.values() if len(found) > 1]:
        shown = "; ".join(", ".join(map(repr, found)) for found in alike[:SHOWN])
        more = f"; {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
        yield (
            f"{file}: labels that differ only in white space or case: {shown}{more}; "
            "make them one by the key label_names"
        )
    even = counts.total() / max(1, len(counts))
    if rare := [label for label, count in counts.most_common()[::-1] if count < RARE * even]:
        shown = ", ".join(f"'{label}' {counts[label]}" for label in rare[:SHOWN])
        more = f" and {len(rare) - SHOWN} more" if len(rare) > SHOWN else ""
        yield (
            f"{file}: {len(rare)} of {len(counts)} labels have fewer than a tenth of an even share, "
            f"{even:.0f} rows: {shown}{more}"
        )
