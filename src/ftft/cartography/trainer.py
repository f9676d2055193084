"""Training dynamics of a transformers Trainer, from the forward passes that it makes anyway."""

import json
import logging
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from ..errors import DataError, TrainingError
from ..replacing import replacing
from .recorder import DynamicsRecorder
from .response_recorder import ResponseRecorder

UID, LABELS = "uid", "labels"
# In a Trainer's checkpoint: what was recorded, and the entry of trainer_state.json that names its content.
STATE_FILE, TRAINER_STATE, ENTRY = "dynamics_recorder.bin", "trainer_state.json", "ftft.DynamicsRecorder"
logger = logging.getLogger(__name__)


class RecordingMixin:
    """Makes a Trainer record: `class RecordingTrainer(RecordingMixin, Trainer)`; then `trainer.recorder`.

    The training set needs a column `uid` of whole numbers, which the model does not see. The recorder takes
    what the Trainer itself takes for logits. It records neither evaluation nor an epoch that training ends
    within, and starts anew with every call of `train`. Its state is part of the Trainer's checkpoints, and a
    training that is resumed goes on from there. The mix-in raises TrainingError before training for several
    processes, each of which would see a part of every epoch, for a training set without length, for
    `dataloader_drop_last` that drops instances, and for a checkpoint without its state or of another batch
    size, accumulation or seed; and at the first batch for uids, labels or outputs that it cannot record.
    """

    recorder_class: type[DynamicsRecorder] | type[ResponseRecorder] = DynamicsRecorder

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.args.world_size > 1:
            raise TrainingError(
                "dynamics are recorded in one process",
                got=f"{self.args.world_size} processes",
                fix="train the reference model on one device",
            )
        self.recorder = self.recorder_class()
        self._in_step, self._batch = False, None
        self._resumed, self._starts, self._goes_on = None, 0, False
        self.add_callback(_Recording(self))

    def train(self, resume_from_checkpoint=None, *args, **kwargs):
        """The Trainer's; a checkpoint is refused before any work where it does not hold the recorder's
        state."""
        checkpoint = resume_from_checkpoint
        if checkpoint is True:
            checkpoint = get_last_checkpoint(self.args.output_dir)
        self._resumed = _saved(Path(checkpoint), self.recorder_class) if checkpoint else None
        self._starts = 0
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def training_step(self, *args, **kwargs):
        """The Trainer's; the batch is recorded once it has succeeded, so that a repeated one counts once."""
        self._in_step, self._batch = True, None
        try:
            loss = super().training_step(*args, **kwargs)
            batch = self._batch
        finally:
            self._in_step, self._batch = False, None
        if batch is None:
            raise TrainingError(
                "a training step did not call the compute_loss that records",
                expected="RecordingMixin as the first base, and compute_loss calling super().compute_loss",
            )
        self.recorder.record(*batch)
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, *args, **kwargs):
        """The Trainer's; in a training step, the logits are kept for the recorder."""
        if not self._in_step:
            return super().compute_loss(model, inputs, return_outputs, *args, **kwargs)
        if self._batch is not None:
            raise TrainingError(
                "a training step computed its loss twice", expected="one forward pass per batch"
            )
        labels_name = _labels_name(inputs, self.label_names)
        uids, labels = inputs.pop(UID), inputs[labels_name]
        found = super().compute_loss(model, inputs, True, *args, **kwargs)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TrainingError(
                "compute_loss gave no outputs",
                got=type(found).__name__,
                expected="(loss, outputs) where it is called with return_outputs=True",
            )
        loss, outputs = found
        # Where the Trainer computes the loss itself, it takes the labels out: the outputs hold no loss then.
        logits = _logits(outputs, has_loss=labels_name in inputs)
        self._batch = (uids, logits.detach(), labels)
        return found if return_outputs else loss

    def prediction_step(self, model, inputs, *args, **kwargs):
        """The Trainer's, without the uids."""
        inputs = {name: values for name, values in inputs.items() if name != UID}
        return super().prediction_step(model, inputs, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if UID not in self._signature_columns:
            self._signature_columns.append(UID)

    def _save_checkpoint(self, model, trial, *args, **kwargs):
        """The Trainer's, the recorder's state first: on_save comes after older checkpoints were deleted."""
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        state = self.recorder.state_dict()
        recorded = state.pop("recorded")
        with replacing(folder / STATE_FILE) as temporary:
            temporary.write_bytes(json.dumps(state).encode() + b"\n" + recorded)
        self.state.stateful_callbacks[ENTRY] = {"hash": state["hash"], "order": self._order}
        return super()._save_checkpoint(model, trial, *args, **kwargs)

    def _begin(self, loader) -> None:
        """Start recording: anew, or from the checkpoint that training resumes from."""
        try:
            batches = len(loader)
        except TypeError as error:
            raise TrainingError(
                "the training set has no length, so that no epoch of it is whole",
                got=type(self.train_dataset).__name__,
                expected="a data set of known length",
            ) from error
        # What decides which instances a step draws.
        self._order = {
            "batches per epoch": batches,
            "batch size": self._train_batch_size,
            "gradient_accumulation_steps": self.args.gradient_accumulation_steps,
            "seed": self.args.seed if self.args.data_seed is None else self.args.data_seed,
        }
        examples = self.num_examples(loader)
        if self.args.dataloader_drop_last and batches * self._train_batch_size < examples:
            raise TrainingError(
                "every epoch would leave out different instances",
                got=f"dataloader_drop_last, {examples} instances in batches of {self._train_batch_size}",
                fix="train with dataloader_drop_last=False",
            )
        if self._starts and not self._resumed:
            logger.warning(
                "The training starts again (auto_find_batch_size): %d recorded epoch(s) are dropped. "
                "The model goes on from the weights that it has.",
                self.recorder.epochs,
            )
        self._starts += 1
        self._goes_on = True
        self.recorder.clear()
        if self._resumed:
            state, order = self._resumed
            if order != self._order:
                raise TrainingError(
                    "the checkpoint is of a training that draws its batches otherwise",
                    got=_listed(self._order),
                    expected=_listed(order),
                    fix="resume with the data, batch size, accumulation and seed of the checkpoint",
                )
            self.recorder.load_state_dict(state)
            if self.args.ignore_data_skip and self.recorder.unfinished:
                raise TrainingError(
                    "the epoch that training resumes within would not be whole",
                    got="ignore_data_skip and a checkpoint within an epoch",
                    fix="resume without ignore_data_skip, or from a checkpoint at the end of an epoch",
                )

    def _begin_epoch(self) -> None:
        # The epoch that a training resumes within goes on; one that was broken off is trained no more.
        if not self._goes_on:
            self.recorder.discard_epoch()
        self._goes_on = False


class ResponseRecordingMixin(RecordingMixin):
    """Makes a trainer of causal language models record: transformers' Trainer, or TRL's SFTTrainer.

    As `RecordingMixin`; the training set's column `uid` goes past the collator. What is recorded is how
    likely each response is, whose tokens have other labels than -100. The mix-in raises TrainingError for
    rows that are packed into sequences, in which they cannot be told apart by then.
    """

    recorder_class = ResponseRecorder

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if getattr(self.args, "packing", False) or getattr(self.args, "padding_free", False):
            raise TrainingError(
                "packed rows cannot be told apart by whoever records them",
                got="packing or padding_free",
                fix="train the reference model with packing=False and padding_free=False",
            )
        self.data_collator = _BesideUids(self.data_collator)


class _BesideUids:
    """A collator that never sees the uids, which it puts beside what another one gives."""

    def __init__(self, collator):
        self.collator = collator

    def __call__(self, features: list[dict]) -> dict:
        uids = [feature[UID] for feature in features if UID in feature]
        batch = self.collator(
            [{name: value for name, value in feature.items() if name != UID} for feature in features]
        )
        return {**batch, UID: torch.tensor(uids)} if uids else batch


class _Recording(TrainerCallback):
    def __init__(self, trainer: RecordingMixin):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        self.trainer._begin(train_dataloader)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer._begin_epoch()

    def on_step_end(self, args, state, control, **kwargs):
        # A checkpoint of the last step is saved before on_epoch_end.
        if float(state.epoch).is_integer():
            self.trainer.recorder.end_epoch()

    def on_train_end(self, args, state, control, **kwargs):
        if self.trainer.recorder.unfinished:
            logger.warning(
                "The training ended within an epoch: its dynamics are those of the %d whole epoch(s) before.",
                self.trainer.recorder.epochs,
            )


def _labels_name(inputs: dict, label_names: list[str]) -> str:
    """The name of the labels in a batch, which has uids too; raises TrainingError where it lacks one of
    them."""
    names = [name for name in (LABELS, *label_names) if name in inputs]
    if missing := [name for name, there in ((UID, UID in inputs), (LABELS, names)) if not there]:
        raise TrainingError(
            f"a training batch lacks {' and '.join(missing)}",
            got=f"columns {', '.join(inputs)}",
            expected=f"{UID}, whole numbers, and {LABELS}",
            fix="add it, dataset.add_column('uid', range(len(dataset))), and keep it in the collator",
        )
    return names[0]


def _logits(outputs, has_loss: bool):
    """The logits among a model's outputs, as the Trainer takes them: a dictionary's, a tuple's after the
    loss."""
    found = outputs
    if isinstance(outputs, dict):
        names = [name for name in outputs if name != "loss"]
        name = names[0] if len(names) == 1 else "logits"
        found = outputs.get("logits", outputs.get(name))
    elif isinstance(outputs, tuple | list):
        rest = outputs[1:] if has_loss else outputs
        found = rest[0] if rest else None
    elif not hasattr(outputs, "detach"):
        found = getattr(outputs, "logits", None)
    if not hasattr(found, "detach"):
        kind = type(outputs).__name__
        raise TrainingError(
            "the model's outputs hold no logits",
            got=f"{kind} of {', '.join(outputs)}" if isinstance(outputs, dict) else kind,
            expected="logits [batch, classes]: under that name, or after the loss in a tuple",
        )
    return found


def _saved(checkpoint: Path, recorder_class: type) -> tuple[dict, dict]:
    """The recorder's state in a checkpoint, and the order of its batches; raises TrainingError without
    them."""
    try:
        trainer_state = json.loads((checkpoint / TRAINER_STATE).read_text(encoding="utf-8"))
        entry = trainer_state["stateful_callbacks"][ENTRY]
        header, _, recorded = (checkpoint / STATE_FILE).read_bytes().partition(b"\n")
        state = {**json.loads(header), "recorded": recorded}
        order, whole = entry["order"], entry["hash"] == state["hash"]
        if whole:
            recorder_class().load_state_dict(state)
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise _not_resumable(checkpoint, f"{type(error).__name__}: {error}") from error
    if not whole:
        raise _not_resumable(checkpoint, f"{STATE_FILE} of another training")
    return state, order


def _not_resumable(checkpoint: Path, got: str) -> TrainingError:
    return TrainingError(
        f"{checkpoint} does not hold the training dynamics up to its step: the map would lack epochs",
        got=got,
        expected=f"{STATE_FILE} and its entry in {TRAINER_STATE}, as a RecordingMixin writes them",
        fix="resume from a checkpoint of such a Trainer, or train from the start",
    )


def _listed(order: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in order.items())
