"""Epoch 0: how likely a language model finds every response before training, with and without its prompt."""

from pathlib import Path

from ..cartography.before import save_before
from ..data.dataset import Dataset
from ..execution.identity import resolve_execution
from ..execution.memory import evaluation_tokens
from ..execution.processes import make_accelerator
from ..models.flops import Workload, count_flops
from ..models.precision import lower_weights
from ..models.responses import responses_alone
from ..tasks.base import kind_of
from ..tasks.prediction import encode, predict_outputs, token_batches, token_folder


def look_before_training(
    spec: dict, model: str, encoder: str | Path, train_file: str | Path, output: str | Path, runtime: dict
) -> dict:
    """Write what the model in the folder `encoder` gives for every response, after its prompt and without it
    (`cartography.before`); returns the FLOPs of both passes, None where they cannot be counted.

    No dropout plays a part. `spec` holds `max_length` and `precision` of the trainings.
    """
    dataset = Dataset.load(train_file)
    kind = kind_of(dataset.kind)
    execution = resolve_execution(spec["precision"], runtime)
    accelerator = make_accelerator(execution)
    network = kind.load(encoder, dataset.label_names, execution.kernels == "own")
    if execution.low_weights:
        lower_weights(network)
    network.to(accelerator.device)
    tokens = encode(kind, dataset, encoder, spec["max_length"], token_folder(runtime))
    room, width = evaluation_tokens(runtime, accelerator.device), kind.prediction_width(dataset)
    work, found = Workload(), []
    for part in (tokens, responses_alone(tokens, Path(encoder) / "tokenizer.json")):
        batches = token_batches(kind, part.total_lengths, room)
        found.append(predict_outputs(kind, network, part, width, room, accelerator.autocast, batches))
        for rows in batches:
            work.add_features(part, rows)
    save_before(output, *found, dataset, {"model": model})
    head = kind.head_of(network.config.is_encoder_decoder)
    counts = count_flops(network.config, work.longest, head)
    return {"flops": work.flops(counts and counts.forward)}
