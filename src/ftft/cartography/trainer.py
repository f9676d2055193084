"""Training dynamics of a transformers Trainer, from the forward passes that it makes anyway."""

from transformers import TrainerCallback

from ..errors import TrainingError
from .recorder import DynamicsRecorder

UID, LABELS = "uid", "labels"


class RecordingMixin:
    """Makes a Trainer record: `class RecordingTrainer(RecordingMixin, Trainer)`; then `trainer.recorder`.

    The training set needs a column `uid` of whole numbers, which the model does not see. Evaluation is not
    recorded, nor is an epoch that training ends within. Raises TrainingError for several processes, each
    of which would see a part of every epoch, and for batches without uids.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.world_size > 1:
            raise TrainingError(
                "dynamics are recorded in one process",
                got=f"{self.args.world_size} processes",
                fix="train the reference model on one device",
            )
        self.recorder = DynamicsRecorder()
        self.add_callback(_EpochEnd(self.recorder))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if UID not in self._signature_columns:
            self._signature_columns.append(UID)

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The Trainer's loss; in training, the logits go to the recorder."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)
        if missing := [name for name in (UID, LABELS) if name not in inputs]:
            raise TrainingError(
                f"a training batch lacks {' and '.join(missing)}",
                got=f"columns {', '.join(inputs)}",
                expected=f"{UID}, whole numbers, and {LABELS}",
                fix="add it, dataset.add_column('uid', range(len(dataset))), and keep it in the collator",
            )
        uids, labels = inputs.pop(UID), inputs[LABELS]
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        self.recorder.record(uids, outputs["logits"], labels)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model, inputs, *args, **kwargs):
        """The Trainer's, without the uids."""
        inputs = {name: values for name, values in inputs.items() if name != UID}
        return super().prediction_step(model, inputs, *args, **kwargs)


class _EpochEnd(TrainerCallback):
    def __init__(self, recorder: DynamicsRecorder):
        self.recorder = recorder

    def on_epoch_end(self, args, state, control, **kwargs):
        if float(state.epoch).is_integer():
            self.recorder.end_epoch()
