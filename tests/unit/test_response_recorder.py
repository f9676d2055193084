"""Language models' trainers record how likely each response was, as the workflow does."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import ftft
from ftft.cartography.response_recorder import response_statistics
from ftft.cli import main
from ftft.errors import DataError, TrainingError

ROWS, VOCABULARY = 12, 20


class RecordingTrainer(ftft.ResponseRecordingMixin, Trainer):
    pass


def rows(count=ROWS):
    random = np.random.default_rng(0)
    made = []
    for uid in range(count):
        prompt, response = (
            random.integers(1, VOCABULARY, size).tolist() for size in (3 + uid % 4, 1 + uid % 3)
        )
        made.append(
            {
                "input_ids": prompt + response,
                "attention_mask": [1] * len(prompt + response),
                "labels": [-100] * len(prompt) + response,
                "uid": uid,
            }
        )
    return made


def model():
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": VOCABULARY}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **dropout, **ends))


class Padding:
    """What a collator needs of a tokenizer."""

    padding_side = "right"

    def pad(self, features, **_):
        width = max(len(feature["input_ids"]) for feature in features)
        return {
            name: torch.tensor([own + [0] * (width - len(own)) for own in (f[name] for f in features)])
            for name in ("input_ids", "attention_mask")
        }


def collate(features):
    batch = Padding().pad(features)
    width = batch["input_ids"].shape[1]
    labels = [feature["labels"] + [-100] * (width - len(feature["labels"])) for feature in features]
    return {**batch, "labels": torch.tensor(labels)}


def trainer(folder, **changes):
    arguments = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        **changes,
    }
    data = rows()
    return RecordingTrainer(
        model(), TrainingArguments(str(folder), **arguments), train_dataset=data, data_collator=collate
    )


def test_statistics_are_those_of_the_labelled_tokens_by_hand():
    # Probabilities 1/2, 1/4, 1/8, 1/8 at every place; tokens 1 and 2 count, then token 0.
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().expand(2, 4, 4)
    labels = torch.tensor([[-100, -100, 1, 2], [-100, 0, -100, -100]])
    expected = [[2, np.log(1 / 32), 3 / 16, 0], [1, np.log(1 / 2), 1 / 2, 1]]
    np.testing.assert_allclose(response_statistics(logits, labels), expected, rtol=1e-6)


def test_a_trainer_records_the_losses_of_its_own_passes(tmp_path):
    training = trainer(tmp_path, gradient_accumulation_steps=3, num_train_epochs=2, learning_rate=0.0)
    training.train()
    recorder = training.recorder
    assert recorder.epochs == 2 and not recorder.unfinished
    plain = model()
    for uid, row in enumerate(rows()):
        ids, labels = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
        expected = float(torch.exp(-plain(input_ids=ids, labels=labels).loss.detach()))
        # Nothing was learnt, so that both epochs are those of the untrained model.
        np.testing.assert_allclose(recorder.dynamics().p_true[:, uid], expected, rtol=1e-4)


def test_what_is_recorded_can_be_selected_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = trainer(tmp_path)
    training.train()
    training.recorder.save(tmp_path / "dynamics.parquet")
    assert training.recorder.data_map().confidence.shape == (ROWS,)
    assert (
        main(["select", "dynamics.parquet", "--rule", "high_loss", "--fraction", "0.25", "--out", "ids"]) == 0
    )
    losses = -np.log(training.recorder.dynamics().p_true.astype(np.float64)).mean(0)
    assert {int(line) for line in (tmp_path / "ids").read_text().split()} == {
        *np.argsort(-losses)[:3].tolist()
    }


def test_a_training_goes_on_with_what_was_recorded(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 2}
    whole = trainer(tmp_path / "whole", **settings)
    whole.train()
    again = trainer(tmp_path / "whole", **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    np.testing.assert_array_equal(again.recorder.dynamics().p_true, whole.recorder.dynamics().p_true)


def test_what_cannot_be_recorded_is_refused(tmp_path):
    recorder = ftft.ResponseRecorder()
    logits, labels = torch.zeros(1, 3, 4), torch.tensor([[-100, 1, 2]])
    for uids, outputs, gold, message in (
        ([0], logits[0], labels, "not logits of tokens"),
        ([0], logits, torch.full((1, 3), -100), "0 response tokens"),
        ([0], logits * float("nan"), labels, "has no likelihood"),
        ([0, 0], logits.repeat(2, 1, 1), labels.repeat(2, 1), "occur twice"),
    ):
        with pytest.raises(DataError, match=message):
            recorder.record(uids, outputs, gold)
    assert not recorder.unfinished
    with pytest.raises(DataError, match="no epoch was recorded"):
        recorder.dynamics()
    recorder.record([0], logits, labels)
    recorder.end_epoch()
    recorder.record([1], logits, labels)
    with pytest.raises(DataError, match="other instances than the first"):
        recorder.end_epoch()


def test_trls_trainer_records(tmp_path):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")

    class RecordingSFTTrainer(ftft.ResponseRecordingMixin, trl.SFTTrainer):
        pass

    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {str(number): number for number in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, "0")), pad_token="0", eos_token="0"
    )
    settings = {"num_train_epochs": 2, "learning_rate": 0.0, "report_to": [], "save_strategy": "no"}
    arguments = trl.SFTConfig(
        str(tmp_path), per_device_train_batch_size=4, use_cpu=True, bf16=False, max_length=16, **settings
    )
    data = [{name: row[name] for name in ("input_ids", "labels", "uid")} for row in rows()]
    training = RecordingSFTTrainer(
        model(), arguments, train_dataset=datasets.Dataset.from_list(data), processing_class=tokenizer
    )
    training.train()
    plain = trainer(tmp_path / "plain", num_train_epochs=2, learning_rate=0.0)
    plain.train()
    np.testing.assert_allclose(
        training.recorder.dynamics().p_true, plain.recorder.dynamics().p_true, rtol=1e-4
    )
    arguments.packing = True
    with pytest.raises(TrainingError, match="packed rows"):
        RecordingSFTTrainer(
            model(), arguments, train_dataset=datasets.Dataset.from_list(data), processing_class=tokenizer
        )


def test_a_damaged_state_and_labels_out_of_range_are_refused():
    recorder = ftft.ResponseRecorder()
    logits, labels = torch.zeros(1, 3, 4), torch.tensor([[-100, 1, 2]])
    for uids, outputs, gold in (
        (None, logits, labels),
        ([0.5], logits, labels),
        ([0], None, labels),
        ([0], logits, labels + 2),
        ([0], logits, labels.float()),
    ):
        with pytest.raises(DataError, match="cannot be used"):
            recorder.record(uids, outputs, gold)
    recorder.record([0], logits, labels)
    state = recorder.state_dict()
    for key, value in (("recorded", b"\0" * 16), ("uids", [7]), ("epochs", 10**30), ("current", None)):
        with pytest.raises(DataError, match="was damaged"):
            recorder.load_state_dict({**state, key: value})
