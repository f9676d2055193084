"""Scores of predictions (paper, section 3: accuracy for NLI, macro-F1 for hate speech detection)."""

import numpy as np


def accuracy(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """Share of correct predictions, 0 to 1; both arrays hold class indices, shape [n]."""
    return float(np.mean(labels == predictions))


def macro_f1(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float:
    """Unweighted mean over all `classes` of the F1 score, 0 to 1; a class nobody names counts 0."""
    pairs = np.bincount(labels * classes + predictions, minlength=classes * classes)
    confusion = pairs.reshape(classes, classes).astype(float)
    named = confusion.sum(0) + confusion.sum(1)
    return float(np.mean(np.divide(2 * confusion.diagonal(), named, where=named > 0, out=np.zeros(classes))))


METRICS = {"accuracy": accuracy, "macro_f1": macro_f1}


def score(labels: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, float]:
    """Every metric by name."""
    return {name: metric(labels, predictions, classes) for name, metric in METRICS.items()}


def majority_score(labels: np.ndarray, classes: int) -> dict[str, float]:
    """Every metric of the classifier that always answers the most frequent label."""
    majority = np.bincount(labels, minlength=classes).argmax()
    return score(labels, np.full_like(labels, majority), classes)


def scores(names, targets: np.ndarray, predictions: np.ndarray, labels) -> dict[str, float]:
    """The metrics of these names."""
    classes = max(len(labels), int(max(targets.max(), predictions.max())) + 1)
    return {name: METRICS[name](targets, predictions, classes) for name in names}


def floors(names, targets: np.ndarray, labels) -> dict[str, float]:
    """The metrics of these names for the most frequent target."""
    majority = np.bincount(targets).argmax()
    return scores(names, targets, np.full_like(targets, majority), labels)
