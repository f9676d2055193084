"""Recording training dynamics: what a model gave for every instance at every epoch, from the training pass
itself.
"""

import numpy as np
import torch


class EpochRecorder:
    """Collects outputs by instance; an epoch counts once every instance has been seen in it.

    `epochs` holds the complete ones, each [instances, width] float32.
    """

    def __init__(self, instances: int, width: int):
        self.epochs: list[np.ndarray] = []
        self._current = torch.full((instances, width), float("nan"))
        self._seen = 0

    def record(self, positions: np.ndarray, outputs: torch.Tensor) -> None:
        """Take the outputs [batch, width] of the instances at `positions` [batch].

        They stay on their device until the epoch is complete.
        """
        if self._current.device != outputs.device:
            self._current = self._current.to(outputs.device)
        self._current[torch.from_numpy(positions).to(outputs.device)] = outputs.detach().float()
        self._seen += len(positions)
        if self._seen == len(self._current):
            self.epochs.append(self._current.cpu().numpy().copy())
            self._current.fill_(float("nan"))
            self._seen = 0

    @property
    def at_start(self) -> bool:
        """Whether no instance has been seen since the last complete epoch."""
        return self._seen == 0

    def state(self) -> dict:
        """All that was recorded so far."""
        epochs = {str(number): outputs for number, outputs in enumerate(self.epochs)}
        return {"seen": self._seen, "current": self._current, "epochs": epochs}

    def restore(self, state: dict) -> None:
        """Go on from a `state` of the same run."""
        epochs = state.get("epochs", {})
        self.epochs = [epochs[str(number)].numpy() for number in range(len(epochs))]
        self._current, self._seen = state["current"], state["seen"]
