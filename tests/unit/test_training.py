"""The training loop: dynamics, schedule, early stopping, reproducibility, cost, faults."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from ftft.cartography.supervision import Supervision
from ftft.errors import TrainingError
from ftft.execution.meter import Meter
from ftft.models.flops import count_flops
from ftft.models.heads import load_classifier
from ftft.tasks.base import Kind, true_class_probability
from ftft.tasks.prediction import predict_outputs
from ftft.training import loop, session
from ftft.training.checkpoints import Checkpoints
from ftft.training.schedule import checkpoint_interval, learning_rate_factor, planned_steps
from ftft.training.step import TrainingStep
from ftft.training.stopping import monitored_score, read_early

MONITOR = {"patience": 2, "metric": "accuracy", "monitored": ["r1_dev", "r3_dev"]}


def checkpoints(trajectory):
    last = max(entry["checkpoint"] for entry in trajectory)
    return [[entry for entry in trajectory if entry["checkpoint"] == n] for n in range(1, last + 1)]


def state(result):
    return {name: tensor.clone() for name, tensor in result.model.state_dict().items()}


def test_dynamics_equal_logits_logged_batch_by_batch(fine_tune, training_data, monkeypatch):
    logged = []
    original = Kind.losses

    def logging_losses(self, outputs, targets):
        logged.append(outputs.detach().numpy().copy())
        return original(self, outputs, targets)

    drawn = []
    plan = loop.training_batches

    def logging_batches(*arguments):
        for batch in plan(*arguments):
            drawn.append(batch)
            yield batch

    monkeypatch.setattr(Kind, "losses", logging_losses)
    monkeypatch.setattr(loop, "training_batches", logging_batches)
    result = fine_tune()
    assert len(result.epochs) == 3
    assert {len(batch) for batch in drawn} == {8, 1}
    for place, (batch, logits) in enumerate(zip(drawn, logged, strict=True)):
        for row, values in zip(batch, logits, strict=True):
            np.testing.assert_array_equal(result.epochs[place // 5][row], values)
    p_true = true_class_probability(result.epochs[0], training_data.dataset.labels)
    expected = torch.tensor(result.epochs[0]).softmax(-1)[np.arange(33), training_data.dataset.labels]
    np.testing.assert_allclose(p_true, expected, rtol=1e-6)


def test_dynamics_come_from_the_training_mode(fine_tune, encoder, training_data):
    result = fine_tune(learning_rate=1e-12, epochs=2.0)
    untouched = load_classifier(encoder, ["a", "b", "c"])
    evaluated = predict_outputs(training_data.kind, untouched, training_data.tokens, 3, 512, torch.no_grad)
    assert not np.allclose(result.epochs[0], evaluated, atol=1e-4)
    assert not np.allclose(result.epochs[0], result.epochs[1], atol=1e-4)


def test_partial_last_epoch_is_dropped(fine_tune):
    assert len(fine_tune(epochs=2.5).epochs) == 2


def test_same_seed_gives_the_same_bits_and_another_does_not(fine_tune):
    first, again, other = fine_tune(seed=3), fine_tune(seed=3), fine_tune(seed=4)
    np.testing.assert_array_equal(first.epochs, again.epochs)
    assert all(torch.equal(value, state(again)[name]) for name, value in state(first).items())
    assert not np.array_equal(first.epochs[0], other.epochs[0])


@pytest.mark.parametrize("patience", [1, 2])
def test_live_stop_equals_reading_the_full_run_early(fine_tune, patience):
    rule = {**MONITOR, "patience": patience}
    full, stopped = fine_tune(), fine_tune(early_stopping=rule)
    scored = checkpoints(full.trajectory)
    reading = read_early([monitored_score(entries, rule) for entries in scored], patience)
    assert checkpoints(stopped.trajectory) == scored[: reading.checkpoint]
    assert stopped.outcome["kept_checkpoint"] == reading.best_checkpoint


def test_stopped_run_keeps_the_weights_of_its_best_checkpoint(fine_tune, monkeypatch):
    states = []
    original = Checkpoints.score

    def score_and_copy(self, step):
        states.append({name: value.clone() for name, value in self._model.state_dict().items()})
        return original(self, step)

    monkeypatch.setattr(Checkpoints, "score", score_and_copy)
    stopped = fine_tune(early_stopping=MONITOR)
    kept = stopped.outcome["kept_checkpoint"]
    assert kept < len(states)
    assert all(torch.equal(value, states[kept - 1][name]) for name, value in state(stopped).items())


@pytest.mark.parametrize("mode", [True, False])
def test_prediction_leaves_the_mode_of_the_model(encoder, training_data, mode):
    model = load_classifier(encoder, ["a", "b", "c"]).train(mode)
    predict_outputs(training_data.kind, model, training_data.tokens, 3, 512, torch.no_grad)
    assert all(module.training == mode for module in model.modules())


def test_last_step_is_scored_where_no_interval_ends(fine_tune):
    trajectory = fine_tune(checkpoint_every=4, checkpoints=None).trajectory
    assert sorted({(entry["checkpoint"], entry["step"]) for entry in trajectory}) == [
        (1, 4), (2, 8), (3, 12), (4, 15)
    ]  # fmt: skip


def test_run_on_a_selection_takes_the_steps_of_a_run_on_all(fine_tune, training_data):
    rows = Supervision.of(np.arange(0, 33, 3))
    result = fine_tune(data=replace(training_data, supervision=rows))
    assert result.outcome["steps"] == 15
    assert result.outcome["training_instances"] == 11
    assert len(result.epochs) == 15 // 2


def test_diverged_run_names_step_and_learning_rate(fine_tune):
    with pytest.raises(TrainingError, match=r"loss nan at step \d+, learning rate"):
        fine_tune(learning_rate=1e30, max_grad_norm=1e30)


def test_required_gpu_is_missed_before_training(fine_tune):
    with pytest.raises(TrainingError, match="needs a GPU and finds none"):
        fine_tune(runtime={"device": "cpu", "require_gpu": True})


def test_schedule_rises_for_a_tenth_and_falls_to_zero():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] == 0 and factors[5] == 0.5 and max(factors) == factors[10] == 1
    assert factors[55] == pytest.approx(0.5) and factors[100] == 0


@pytest.mark.parametrize(
    ("recipe", "instances", "steps"),
    [
        ({"epochs": 4.0, "batch_size": 32}, 392_702, 49_088),
        ({"epochs": 5.0, "batch_size": 32}, 392_702, 61_360),
        ({"epochs": 3.0, "batch_size": 32}, 17_265, 1_620),
        ({"steps": 7, "batch_size": 32}, 392_702, 7),
    ],
)
def test_planned_steps_of_the_paper(recipe, instances, steps):
    assert planned_steps(recipe, instances) == steps


def test_checkpoints_of_the_paper(fine_tune):
    assert checkpoint_interval({"checkpoint_every": 4090}, 49_088) == 4090
    assert checkpoint_interval({"checkpoints": 12}, 480) == 40
    outcome = fine_tune(checkpoint_every=4, checkpoints=None).outcome
    assert outcome["planned_checkpoints"] == outcome["consumed_checkpoints"] == 15 // 4


def test_recording_in_bfloat16_keeps_the_head_in_float32(fine_tune):
    logits = fine_tune(precision="bfloat16").epochs[0]
    rounded = torch.from_numpy(logits).bfloat16().float().numpy()
    assert (logits != rounded).any()


def test_cost_counts_what_every_batch_held(fine_tune, monkeypatch):
    instances = []
    original = Kind.collate

    def watched_collate(self, tokens, rows, *others):
        instances.extend(tokens.lengths[rows].tolist())
        return original(self, tokens, rows, *others)

    monkeypatch.setattr(Kind, "collate", watched_collate)
    # The in-distribution set is scored too, at every checkpoint.
    monkeypatch.setattr(Checkpoints, "_score_set", lambda self, *_: {"accuracy": 0.5, "macro_f1": 0.5})
    result = fine_tune()
    count = count_flops(result.model.config, 32).step
    assert result.cost["flops"] == sum(count.of(0, 1, length, length**2) for length in instances)


def test_cost_counts_the_development_passes_of_every_checkpoint(fine_tune, training_data):
    result = fine_tune(early_stopping=MONITOR)
    forward = count_flops(result.model.config, 32).forward
    lengths = np.concatenate([part.tokens.lengths for part in training_data.development.values()])
    # BERT pays nothing per batch.
    once = forward.of(0, len(lengths), lengths.sum(), lengths @ lengths)
    taken = max(entry["checkpoint"] for entry in result.trajectory)
    assert result.cost["evaluation_flops"] == taken * once > 0


def test_the_predictions_of_every_checkpoint_give_its_scores(fine_tune, training_data):
    result = fine_tune()
    table = pa.concat_tables(result.predictions).to_pandas()
    for entry in result.trajectory:
        if entry["metric"] == "accuracy":
            own = table[(table[["checkpoint", "dataset"]] == [entry["checkpoint"], entry["dataset"]]).all(1)]
            labels = training_data.development[entry["dataset"]].dataset.labels
            assert (own["prediction"].to_numpy() == labels).mean() == entry["value"]


def test_counting_flops_changes_no_result(fine_tune, monkeypatch):
    counted = fine_tune()
    monkeypatch.setattr(session, "count_flops", lambda *arguments: None)
    plain = fine_tune()
    assert counted.cost["flops"] > 0
    assert plain.cost["flops"] is None
    np.testing.assert_array_equal(counted.epochs, plain.epochs)
    assert all(torch.equal(value, state(plain)[name]) for name, value in state(counted).items())
    assert counted.model.config.to_json_string() == plain.model.config.to_json_string()
    assert counted.trajectory == plain.trajectory and counted.outcome == plain.outcome


def test_energy_is_that_of_the_steps_without_development_scores(fine_tune, monkeypatch, tmp_path):
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    for name, text in {"name": "package-0", "max_energy_range_uj": 10**12, "energy_uj": 0}.items():
        (package / name).write_text(str(text))
    monkeypatch.setattr(session, "Meter", lambda device: Meter(device, tmp_path))

    def consuming(function, microjoules):
        def wrapped(*arguments):
            value = int((package / "energy_uj").read_text())
            (package / "energy_uj").write_text(str(value + microjoules))
            return function(*arguments)

        return wrapped

    monkeypatch.setattr(TrainingStep, "__call__", consuming(TrainingStep.__call__, 1))
    monkeypatch.setattr(Checkpoints, "score", consuming(Checkpoints.score, 1000))
    cost = fine_tune().cost
    assert cost["energy_joules"] == 15e-6


def test_energy_that_nothing_reports_is_null(fine_tune, monkeypatch, tmp_path):
    monkeypatch.setattr(session, "Meter", lambda device: Meter(device, tmp_path))
    assert fine_tune().cost["energy_joules"] is None
