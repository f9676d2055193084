"""Fine-tuning: one loop for reference, ERM and main runs (paper, Appendix A.1)."""

from ..execution.identity import Execution, resolve_execution
from ..execution.processes import ALONE, ProcessGroup
from ..execution.progress import Progress
from ..execution.scratch import Scratch
from .batching import training_batches
from .feed import TrainingData
from .session import AfterEpoch, Session, TrainingResult


def train(
    spec: dict,
    encoder: str,
    data: TrainingData,
    seed: int,
    runtime: dict,
    progress: Progress,
    scratch: Scratch | None = None,
    execution: Execution | None = None,
    group: ProcessGroup = ALONE,
    after_epoch: AfterEpoch | None = None,
) -> TrainingResult:
    """Fine-tune the encoder in the folder `encoder` on the instances of `data.supervision`.

    `spec` is the run's slice of the configuration: `recipe`, `metrics` to record, `early_stopping` (None for
    a run to the end). A stopped run keeps the schedule of the full length and returns the best checkpoint;
    any other returns the last weights. With a `scratch`, the run goes on from the furthest state there that
    fits and saves its own, the last one at SIGTERM or Ctrl-C. `after_epoch` is called when every instance has
    been seen once more. All processes of a `group` call this and get
    the same result: the batches are those of one process, shared out. Raises TrainingError where loss or
    outputs are not finite or a required GPU is absent, and Interrupted at SIGTERM or Ctrl-C.
    """
    execution = execution or resolve_execution(spec["recipe"]["precision"], runtime, group.size)
    session = Session(spec, encoder, data, seed, runtime, progress, scratch, execution, group, after_epoch)
    session.resume()
    recipe, rows = spec["recipe"], data.supervision.rows
    lengths = data.tokens.lengths[rows]
    batches = training_batches(recipe["batch_plan"], lengths, recipe["batch_size"], seed, session.step.number)
    with session.running():
        while True:
            if session.checkpoint_due:
                session.score()
            if session.ended:
                break
            positions = next(batches)
            loss, outputs = session.step(positions)
            session.recorder.record(positions, outputs)
            session.after_step(positions, loss, outputs)
    return session.result()
