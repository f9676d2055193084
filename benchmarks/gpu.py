"""DeBERTaV3's shapes with random weights on a GPU: our steps beside an accelerate loop, both in bf16."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from ftft.models.fast import speed_up
from ftft.models.heads import parameter_counts
from ftft.models.tokens import Tokens
from ftft.training.batching import PLANS

from . import ours
from .corpora import DRAWN, drawn
from .deberta import classifier
from .harness import Run, Spread, Work, interleave, ratios, spread
from .options import Options
from .peers import accelerate_loop, records, with_own_accelerate
from .rates import matrix_rate, operations
from .report import Goal, Row, Table
from .sampling import bias_note, representative

LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
SMALL = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 6}
VOCABULARY = 128_100
LOOP = "accelerate loop as the authors', bf16"


@dataclass(frozen=True)
class Shape:
    """An architecture, and its goals: speed against the loop, percent of the matrix rate on real tokens."""

    name: str
    sizes: dict
    vocabulary: int
    goal: float | None = None
    utilisation: float | None = None


@dataclass(frozen=True)
class Effort:
    """Drawn rows to plan over, batches timed of each plan, size of the matrices whose rate is taken."""

    rows: int = 20_000
    batches: int = 24
    matrix: int = 8192
    repeats: int = 5


SHAPES = (
    Shape("DeBERTaV3-large", LARGE, VOCABULARY, goal=4, utilisation=25),
    Shape("DeBERTaV3-small", SMALL, VOCABULARY, goal=6),
)
QUICK = Effort(rows=2_000, batches=2, matrix=4096, repeats=1)


def run(options: Options) -> list[Table]:
    """One table per shape; one that says so where no GPU is visible."""
    if not torch.cuda.is_available():
        return [Table("Steps", [], ["Not run: no GPU."])]
    effort = QUICK if options.quick else Effort()
    return [measure(shape, torch.device("cuda"), effort) for shape in SHAPES]


def measure(shape: Shape, device: torch.device, effort: Effort) -> Table:
    """Steps per second, utilisation and memory of one shape on `device`; on a CPU, to see that it runs."""
    tokens, labels = drawn(effort.rows, *DRAWN["MNLI"], shape.vocabulary)
    plans = {plan: PLANS[plan](tokens.lengths, ours.RECIPE["batch_size"], 0, 0) for plan in PLANS}
    samples = {plan: representative(plans[plan], tokens.lengths, effort.batches) for plan in plans}
    makers = {LOOP: partial(_loop, shape, tokens, labels, samples["random"], device)}
    timed_batches = {LOOP: samples["random"]}
    for plan, sample in samples.items():
        variant = f"ours, {plan}, bf16"
        makers[variant] = partial(_ours, shape, tokens, labels, sample, device)
        timed_batches[variant] = sample
    works, peaks = {}, {}
    for variant, make in makers.items():
        works[variant], peaks[variant] = _with_peak(make, device)
    runs = interleave(works, effort.repeats)

    with torch.device("meta"):
        parameters = parameter_counts(_classifier(shape))["without_embeddings"]
    rate = matrix_rate(device, torch.bfloat16, effort.matrix)
    table = []
    for variant, timed in runs.items():
        length = tokens.lengths[np.concatenate(timed_batches[variant])].mean()
        used = [100 * operations(parameters, length * run.units) / run.wall / rate for run in timed]
        best = variant.startswith("ours, length_grouped")
        table += _rows(variant, runs, shape.goal if best else None)
        share_goal = Goal(shape.utilisation) if best and shape.utilisation else None
        table.append(
            Row(
                f"{variant}: of the matrix rate, on real tokens",
                value=spread(used),
                unit="%",
                goal=share_goal,
            )
        )
        if peaks[variant] is not None:
            peak = peaks[variant]
            table.append(Row(f"{variant}: peak memory", value=Spread(peak, peak, peak), unit="MB"))
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    notes = [
        f"{device_name}; random weights, {parameters / 1e6:.0f} M parameters without embeddings, vocabulary"
        f" {shape.vocabulary:,}; batch 32, random token ids of MNLI-like lengths,"
        f" {tokens.lengths.mean():.0f} tokens in the mean.",
        f"Matrix rate: {rate / 1e12:.3g} TFLOP/s, bf16 product of matrices {effort.matrix} wide."
        " Utilisation counts 6 operations per parameter and real token.",
        *(bias_note(plan, samples[plan], plans[plan], tokens.lengths) for plan in plans),
    ]
    return Table(shape.name, table, notes)


def _rows(variant: str, runs: dict[str, list[Run]], goal: float | None) -> list[Row]:
    steps = spread([run.units / ours.RECIPE["batch_size"] / run.wall for run in runs[variant]])
    if variant == LOOP:
        return [Row(variant, value=steps, unit="steps per second")]
    _, wall = ratios(runs, variant, LOOP)
    return [Row(variant, LOOP, None, wall, steps, "steps per second", Goal(goal) if goal else None)]


def _classifier(shape: Shape) -> nn.Module:
    return classifier(shape.sizes, shape.vocabulary)


def _loop(
    shape: Shape, tokens: Tokens, labels: np.ndarray, batches: Sequence[np.ndarray], device: torch.device
) -> Work:
    data = records(tokens, labels, np.concatenate(batches))
    settings = (ours.RECIPE, ours.PLANNED_STEPS, _pad)
    return with_own_accelerate(
        lambda: accelerate_loop(_classifier(shape), data, *settings, bfloat16=True, cpu=device.type == "cpu")
    )


def _pad(rows: list[dict]) -> dict[str, torch.Tensor]:
    """What DataCollatorWithPadding makes of the rows, without a tokenizer; the padding's id is 0."""
    columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0]}
    return {
        name: nn.utils.rnn.pad_sequence(values, batch_first=True) if values[0].dim() else torch.stack(values)
        for name, values in columns.items()
    }


def _ours(
    shape: Shape, tokens: Tokens, labels: np.ndarray, batches: Sequence[np.ndarray], device: torch.device
) -> Work:
    where = "cpu" if device.type == "cpu" else "auto"
    data = ours.classified(tokens, labels)
    return with_own_accelerate(
        lambda: ours.training(speed_up(_classifier(shape)), data, batches, "bfloat16", device=where)
    )


def _with_peak(make: Callable[[], Work], device: torch.device) -> tuple[Work, float | None]:
    """A variant that waits for the device, and the MiB it takes beyond what was held before it was made."""
    on_gpu = device.type == "cuda"
    held = torch.cuda.memory_allocated(device) if on_gpu else 0
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    inner = make()

    def work() -> float:
        units = inner()
        if on_gpu:
            torch.cuda.synchronize(device)
        return units

    work()
    return work, (torch.cuda.max_memory_allocated(device) - held) / 2**20 if on_gpu else None
