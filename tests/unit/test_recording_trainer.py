"""A transformers Trainer that records: whole epochs, checkpoints, restarts, outputs of all forms."""

import json
import logging

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ftft.cartography.trainer import STATE_FILE, RecordingMixin
from ftft.errors import DataError, TrainingError


class RecordingTrainer(RecordingMixin, Trainer):
    pass


def model_and_data(uid="uid", rows=11):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    data = [{uid: 20 - row, "input_ids": torch.tensor([row, 1]), "labels": row % 2} for row in range(rows)]
    return BertForSequenceClassification(config), data


def arguments(folder, kind=TrainingArguments, **options):
    standard = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "save_strategy": "no"}
    return kind(str(folder), **{**standard, **options}, use_cpu=True, report_to=[], disable_tqdm=True)


def weights_of(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_trainer_records_its_training_passes_and_trains_as_without(tmp_path):
    model, data = model_and_data()
    options, sets = arguments(tmp_path, eval_strategy="epoch"), {"train_dataset": data, "eval_dataset": data}
    seen = []
    model.register_forward_hook(
        lambda module, _, outputs: seen.append(outputs["logits"].detach()) if module.training else None
    )
    inputs = set()
    model.register_forward_pre_hook(lambda _, args, named: inputs.update(named), with_kwargs=True)
    trainer = RecordingTrainer(model, options, **sets)
    trainer.train()
    found = trainer.recorder.dynamics()
    uids, labels, logits = found.uids, found.labels, found.logits
    assert uids == sorted(str(20 - row) for row in range(11))
    assert labels.tolist() == [(20 - int(uid)) % 2 for uid in uids]
    assert len(seen) == 6  # two epochs of 4 + 4 + 3: no pass beside those of training
    for epoch in range(2):
        passed = torch.cat(seen[3 * epoch : 3 * epoch + 3]).numpy()
        assert sorted(passed.tolist()) == sorted(logits[epoch].tolist())
    unlabelled = [{name: row[name] for name in ("uid", "input_ids")} for row in data]
    assert trainer.predict(unlabelled).predictions.shape == (11, 2)
    assert {"input_ids", "labels"} <= inputs and "uid" not in inputs

    plain, _ = model_and_data()
    Trainer(plain, options, **sets).train()
    torch.testing.assert_close(weights_of(plain), weights_of(model), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "epochs"), [({"max_steps": 5}, 1), ({"gradient_accumulation_steps": 2}, 2)]
)
def test_only_whole_epochs_of_a_trainer_count(tmp_path, options, epochs):
    model, data = model_and_data()
    trainer = RecordingTrainer(model, arguments(tmp_path, **options), train_dataset=data)
    trainer.train()
    assert trainer.recorder.dynamics().logits.shape == (epochs, 11, 2)


def test_a_trainer_without_uids_is_refused(tmp_path):
    model, data = model_and_data(uid="position")
    with pytest.raises(TrainingError, match=r"lacks uid\n(.|\n)*dataset.add_column"):
        RecordingTrainer(model, arguments(tmp_path), train_dataset=data).train()


def test_dropped_last_batches_are_refused_before_training(tmp_path):
    model, data = model_and_data()
    with pytest.raises(TrainingError, match="11 instances in batches of 4"):
        RecordingTrainer(model, arguments(tmp_path, dataloader_drop_last=True), train_dataset=data).train()


def trained(folder, resume=None, kind=RecordingTrainer, **options):
    model, data = model_and_data()
    trainer = kind(model, arguments(folder, **options), train_dataset=data)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def assert_same(ours, theirs):
    assert ours.uids == theirs.uids
    np.testing.assert_array_equal(ours.logits, theirs.logits)


@pytest.mark.parametrize(
    "options",
    [
        {"save_strategy": "steps", "save_steps": 1},
        {"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2},
        {"save_strategy": "epoch"},
    ],
)
def test_a_resumed_training_has_the_dynamics_of_an_uninterrupted_one(tmp_path, options):
    whole = trained(tmp_path, **options)
    checkpoints = sorted(tmp_path.glob("checkpoint-*"))
    assert (
        len(checkpoints)
        == {1: 2 if options["save_strategy"] == "epoch" else 6, 2: 4}[
            options.get("gradient_accumulation_steps", 1)
        ]
    )
    for checkpoint in checkpoints:
        again = trained(tmp_path / "again", str(checkpoint), **{**options, "save_strategy": "no"})
        assert_same(again.recorder.dynamics(), whole.recorder.dynamics())
    assert_same(trained(tmp_path, True, **options).recorder.dynamics(), whole.recorder.dynamics())


def test_a_training_that_stops_within_an_epoch_goes_on_within_it(tmp_path):
    whole = trained(tmp_path / "whole")

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_save = control.should_training_stop = state.global_step == 4

    model, data = model_and_data()
    stopped = RecordingTrainer(model, arguments(tmp_path), train_dataset=data, callbacks=[Stop()])
    stopped.train()
    assert stopped.recorder.epochs == 1
    again = trained(tmp_path / "again", str(tmp_path / "checkpoint-4"))
    assert_same(again.recorder.dynamics(), whole.recorder.dynamics())


def test_data_are_skipped_or_training_resumes_between_epochs(tmp_path):
    trained(tmp_path, save_strategy="steps", save_steps=1)
    with pytest.raises(TrainingError, match="ignore_data_skip and a checkpoint within an epoch"):
        trained(tmp_path / "again", str(tmp_path / "checkpoint-4"), ignore_data_skip=True)
    again = trained(tmp_path / "again", str(tmp_path / "checkpoint-3"), ignore_data_skip=True)
    assert again.recorder.epochs == 2


def test_an_epoch_that_training_ends_within_is_told_of(tmp_path, caplog):
    trained(tmp_path / "whole")
    assert "ended within" not in caplog.text
    assert trained(tmp_path, max_steps=5).recorder.epochs == 1
    assert "ended within an epoch: its dynamics are those of the 1 whole epoch(s) before" in caplog.text


@pytest.fixture
def checkpoint(tmp_path):
    trained(tmp_path, save_strategy="steps", save_steps=2)
    return tmp_path / "checkpoint-4"


def never(*args, **kwargs):
    raise AssertionError("training began")


@pytest.mark.parametrize("damage", ["missing", "flipped", "header", "of another step", "trainer_state"])
def test_a_checkpoint_without_its_recorder_is_refused_before_training(
    tmp_path, checkpoint, damage, monkeypatch
):
    file = checkpoint / STATE_FILE
    content = bytearray(file.read_bytes())
    match damage:
        case "missing":
            file.unlink()
        case "flipped":
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        case "header":
            file.write_bytes(content[:40])
        case "of another step":
            file.write_bytes((tmp_path / "checkpoint-2" / STATE_FILE).read_bytes())
        case "trainer_state":
            path = checkpoint / "trainer_state.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "stateful_callbacks": {}}))
    monkeypatch.setattr(Trainer, "train", never)
    with pytest.raises(
        TrainingError, match="checkpoint-4 does not hold the training dynamics up to its step"
    ):
        trained(tmp_path, str(checkpoint))


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"per_device_train_batch_size": 3}, "batch size 3"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps 2"),
        ({"seed": 1}, "seed 1"),
    ],
)
def test_a_checkpoint_of_other_batches_is_refused_before_training(
    tmp_path, checkpoint, options, got, monkeypatch
):
    monkeypatch.setattr(RecordingTrainer, "training_step", never)
    with pytest.raises(TrainingError, match=rf"draws its batches otherwise\n  got: .*{got}"):
        trained(tmp_path, str(checkpoint), **options)


class OutOfMemory(Trainer):
    """Has memory for `most` instances, and notices after the forward pass; from step `since` on."""

    most, since = 2, 0

    def compute_loss(self, model, inputs, *args, **kwargs):
        found = super().compute_loss(model, inputs, *args, **kwargs)
        if self.state.global_step >= self.since and len(inputs["input_ids"]) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return found


@pytest.mark.parametrize("since", [0, 1, 4])
def test_a_restart_after_out_of_memory_begins_anew(tmp_path, since, caplog):
    class Trained(RecordingMixin, OutOfMemory):
        pass

    Trained.since = since
    with caplog.at_level(logging.WARNING):
        trainer = trained(tmp_path, kind=Trained, auto_find_batch_size=True)
    assert trainer.recorder.dynamics().logits.shape == (2, 11, 2)
    assert "The training starts again" in caplog.text


def test_a_step_that_is_repeated_in_parts_is_recorded_once(tmp_path):
    class Halved(RecordingMixin, OutOfMemory):
        def training_step(self, model, inputs, *args):
            try:
                return super().training_step(model, inputs, *args)
            except torch.cuda.OutOfMemoryError:
                parts = [{name: values[part::2] for name, values in inputs.items()} for part in (0, 1)]
                return sum(super(Halved, self).training_step(model, part, *args) for part in parts)

    assert trained(tmp_path, kind=Halved).recorder.dynamics().logits.shape == (2, 11, 2)


class Embedded(nn.Module):
    """A model whose outputs have the form that is asked for; `seen` are its logits."""

    def __init__(self, form):
        super().__init__()
        self.form, self.embedding, self.seen = form, nn.Embedding(50, 3), []
        # The Trainer's own label smoothing asks for one.
        self.config = BertConfig()

    def forward(self, input_ids, labels=None):
        logits = self.embedding(input_ids).mean(1)
        if self.training:
            self.seen.append(logits.detach())
        loss = None
        if labels is not None and labels.dtype == torch.int64 and labels.numel() == len(logits):
            loss = nn.functional.cross_entropy(logits, labels.reshape(-1))
        elif labels is not None:
            loss = nn.functional.mse_loss(logits, labels.float().reshape(len(logits), -1).expand_as(logits))
        with_loss = {} if loss is None else {"loss": loss}
        return {
            "dictionary": {**with_loss, "hidden": input_ids, "logits": logits},
            "another name": {**with_loss, "scores": logits},
            "tuple": (*with_loss.values(), logits, input_ids),
            "tensor": logits,
            "nothing": {**with_loss, "one": logits, "other": logits},
            "loss alone": (loss,),
        }[self.form]


def of_form(form, folder, labels=lambda row: row % 3, kind=RecordingTrainer, loss=None, **options):
    torch.manual_seed(0)
    data = [{"uid": i, "input_ids": torch.tensor([1 + i, 2]), "labels": labels(i)} for i in range(12)]
    return kind(Embedded(form), arguments(folder, **options), train_dataset=data, compute_loss_func=loss)


def loss_of(outputs, labels, num_items_in_batch=None):
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    return nn.functional.cross_entropy(logits[0] if isinstance(logits, tuple) else logits, labels)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("dictionary", {}),
        ("another name", {}),
        ("tuple", {}),
        ("dictionary", {"label_smoothing_factor": 0.1}),
        ("tuple", {"label_smoothing_factor": 0.1}),
        ("dictionary", {"loss": loss_of}),
        ("tuple", {"loss": loss_of}),
        ("tensor", {"loss": loss_of}),
    ],
)
def test_the_logits_are_those_that_the_trainer_takes(tmp_path, form, options):
    trainer = of_form(form, tmp_path, **options)
    trainer.train()
    found, seen = trainer.recorder.dynamics().logits, torch.cat(trainer.model.seen).numpy()
    assert found.shape == (2, 12, 3)
    for epoch in range(2):
        assert sorted(found[epoch].tolist()) == sorted(seen[12 * epoch : 12 * epoch + 12].tolist())


@pytest.mark.parametrize(
    ("form", "labels", "message"),
    [
        ("nothing", lambda row: row % 3, "hold no logits\n  got: dict of loss, one, other"),
        ("loss alone", lambda row: row % 3, "hold no logits\n  got: tuple"),
        ("dictionary", lambda row: [row % 3], r"got: shape \[4, 1\](.|\n)*squeeze"),
        ("dictionary", lambda row: [1.0, 0.0, 1.0], r"got: shape \[4, 3\]"),
        ("dictionary", lambda row: 0.5, "labels are none of the classes"),
        ("dictionary", lambda row: -1.0, "labels are none of the classes"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_the_first_batch(tmp_path, form, labels, message):
    trainer = of_form(form, tmp_path, labels)
    with pytest.raises((DataError, TrainingError), match=message):
        trainer.train()
    assert trainer.state.global_step == 0 and len(trainer.model.seen) == 1


def test_evaluation_within_an_epoch_is_not_recorded(tmp_path):
    model, data = model_and_data()
    options = arguments(tmp_path, eval_strategy="steps", eval_steps=1, eval_on_start=True)
    trainer = RecordingTrainer(model, options, train_dataset=data, eval_dataset=data)
    trainer.train()
    assert trainer.recorder.dynamics().logits.shape == (2, 11, 2)


def test_every_call_of_train_starts_anew(tmp_path):
    trainer = trained(tmp_path)
    before = trainer.recorder.dynamics().logits
    trainer.train()
    assert trainer.recorder.epochs == 2
    assert (trainer.recorder.dynamics().logits != before).any()


def test_an_epoch_that_is_broken_off_does_not_count(tmp_path):
    class Break(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = state.global_step == 1

    model, data = model_and_data()
    options = arguments(tmp_path, num_train_epochs=3)
    trainer = RecordingTrainer(model, options, train_dataset=data, callbacks=[Break()])
    trainer.train()
    assert trainer.recorder.epochs == 2


def test_what_has_no_whole_epochs_is_refused_before_training(tmp_path):
    class Several(TrainingArguments):
        world_size = 2

    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from model_and_data()[1]

    with pytest.raises(TrainingError, match="got: 2 processes"):
        RecordingTrainer(model_and_data()[0], arguments(tmp_path, Several))
    endless = RecordingTrainer(model_and_data()[0], arguments(tmp_path, max_steps=5), train_dataset=Endless())
    with pytest.raises(TrainingError, match="no length"):
        endless.train()


def test_a_loss_that_passes_the_recorder_by_is_noticed_at_the_first_step(tmp_path):
    class Own(RecordingTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            return model(input_ids=inputs["input_ids"], labels=inputs["labels"]).loss

    class Twice(RecordingTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            return super().compute_loss(model, dict(inputs)) + super().compute_loss(model, dict(inputs))

    class Silent(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            return super().compute_loss(model, inputs, **kwargs)

    class Below(RecordingMixin, Silent):
        pass

    for kind, message in ((Own, "did not call"), (Twice, "twice"), (Below, "gave no outputs")):
        with pytest.raises(TrainingError, match=message):
            trained(tmp_path, kind=kind)
