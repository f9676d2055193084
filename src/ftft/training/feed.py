"""What a training learns from: the instances of a supervision, with their tokens, targets, weights and
guidance.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from ..cartography.supervision import Supervision
from ..data.dataset import Dataset
from ..models.tokens import Tokens
from ..tasks.base import Batch, Kind
from ..tasks.prediction import token_batches
from .objectives import Guidance


@dataclass(frozen=True)
class Development:
    """A development set and its tokens."""

    tokens: Tokens
    dataset: Dataset


@dataclass(frozen=True)
class TrainingData:
    """What a run reads: the training set and its tokens, the supervision that chooses and weighs its
    instances, and the development sets by name, the in-distribution set first.
    """

    kind: Kind
    tokens: Tokens
    dataset: Dataset
    supervision: Supervision
    development: dict[str, Development] = field(default_factory=dict)


class Feed:
    """The instances of a supervision on a device, by their positions in it."""

    def __init__(self, data: TrainingData, model_config, device: torch.device):
        supervision = data.supervision
        self.kind, self.objective = data.kind, supervision.objective
        self._tokens, self._rows, self.width = data.tokens, supervision.rows, data.kind.width(data.dataset)
        self._config, self._device = model_config, device
        self._targets = self._tensor(data.kind.targets(data.dataset)[supervision.rows])
        self._weights = self._tensor(supervision.weights)
        self._bias = None if supervision.bias is None else self._tensor(supervision.bias)
        self._target = None if supervision.target is None else self._tensor(supervision.target)
        self._settings = supervision.settings

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def batch(self, positions: np.ndarray) -> Batch:
        """The inputs of the instances at `positions`."""
        return self.kind.collate(self._tokens, self._rows[positions], self._config, self._device, self.width)

    def parts(self, positions: np.ndarray, tokens: int) -> list[np.ndarray]:
        """The places in `positions` of instances to compute together: as they are where these have at most
        `tokens` padded tokens, else in parts of like length (`token_batches`).
        """
        lengths = self._tokens.total_lengths[self._rows[positions]]
        parts = token_batches(self.kind, lengths, tokens)
        return parts if len(parts) > 1 else [np.arange(len(positions))]

    def compared(self, positions: np.ndarray, batch: Batch):
        """What the outputs for their `batch` are compared with."""
        return self.kind.compared(self._targets[self._tensor(positions)], batch)

    def weights_of(self, positions: np.ndarray) -> torch.Tensor:
        """Their weights, float32."""
        return self._weights[self._tensor(positions)]

    def guidance_of(self, positions: np.ndarray) -> Guidance:
        """What the supervision carries for them."""
        where = self._tensor(positions)
        bias, target = (None if values is None else values[where] for values in (self._bias, self._target))
        return Guidance(bias, target, self._settings)
