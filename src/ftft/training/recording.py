"""Recording training dynamics: the logits of every instance at every epoch, from the training pass itself."""

import numpy as np
import torch


class LogitsRecorder:
    """Collects logits by instance; an epoch counts once every instance has been seen in it.

    `epochs` holds the complete ones, each [instances, classes] float32.
    """

    def __init__(self, instances: int, classes: int):
        self.epochs: list[np.ndarray] = []
        self._current = torch.full((instances, classes), float("nan"))
        self._seen = 0

    def record(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Take the logits [batch, classes] of the instances `rows` [batch].

        They stay on the logits' device until the epoch is complete.
        """
        if self._current.device != logits.device:
            self._current = self._current.to(logits.device)
        self._current[rows] = logits.detach().float()
        self._seen += len(rows)
        if self._seen == len(self._current):
            self.epochs.append(self._current.cpu().numpy().copy())
            self._current.fill_(float("nan"))
            self._seen = 0

    def state(self) -> dict:
        """All that was recorded so far."""
        epochs = {str(number): logits for number, logits in enumerate(self.epochs)}
        return {"seen": self._seen, "current": self._current, "epochs": epochs}

    def restore(self, state: dict) -> None:
        """Go on from a `state` of the same run."""
        epochs = state.get("epochs", {})
        self.epochs = [epochs[str(number)].numpy() for number in range(len(epochs))]
        self._current, self._seen = state["current"], state["seen"]
