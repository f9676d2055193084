"""A model card for the Hugging Face hub, made from a run: Mitchell et al. (2019), with the hub's metadata."""

from pathlib import Path
from urllib.parse import quote

import pandas as pd
import yaml

from ..artifacts import read_json, write_text
from ..errors import ArtifactError
from ..places import REPORT
from ..statistics.costs import seconds_of
from ..statistics.exclusions import RunKey
from ..statistics.scores import choosing_sets
from ..tasks.base import kind_of
from ..tasks.metrics import metric
from .notes import correction_notes, exclusion_notes, metric_note
from .rendering import Rendering, to_markdown
from .texts import code, markdown, plain

TEMPLATE = REPORT / "model_card" / "card.md"
CHOSE = "†"
# What a card says of a selection that a reference model made, and of one for which no model was asked.
REFERENCED = {
    "made": "by [FTFT](https://arxiv.org/abs/2310.06588): a small\nreference model, {reference_origin}, "
    "{asked}, and this model was trained then, with early stopping, on the selection\n{supervision} that "
    "{gives}",
    "by": "by {signal} of {reference}: {shows}",
    "parts": ": {cost_reference:.1f} % for the\nreference{uncounted}, {cost_main:.1f} % for this one. "
    "They took {reference_seconds:.0f} s and {main_seconds:.0f} s",
}
UNREFERENCED = {
    "made": "with early stopping\non the selection {supervision} of "
    "[FTFT](https://arxiv.org/abs/2310.06588), for which no reference model is asked",
    "by": "for which no model was asked",
    "parts": ". It took {main_seconds:.0f} s",
}
# What the reference did, where it was trained, and where it was asked before any training alone.
TRAINED = {
    "asked": "was trained on all data first",
    "gives": "the reference's training dynamics give",
    "signal": "the training dynamics",
    "shows": "how much of the truth about an instance it gave at every epoch",
    "uncounted": " run",
}
UNTRAINED = {
    "asked": "was asked before any training how likely each response is",
    "gives": "its answers give",
    "signal": "the answers",
    "shows": "how likely it found each response before any training",
    "uncounted": ", whose pass over the data counts by its seconds alone",
}
# What a card says as long as nothing was compared.
NOT_COMPARED = "Whether FTFT paid here was not measured; `snakemake compare` does that."


def model_card(
    spec: dict,
    ledger: dict,
    references: list[dict],
    checks: dict,
    scores: pd.DataFrame,
    cost: dict[str, float],
    excluded: dict[RunKey, str],
    encoder_decoder: bool = False,
    passed: float = 0.0,
) -> str:
    """The card of the run that `ledger` is of, as Markdown with the hub's front matter.

    `spec` is the slice of the rule, `references` the ledgers of all reference runs, `checks` the report on
    the task's data, `scores` and `cost` those of `finetuned`, `excluded` by run why it was left out, `passed`
    the seconds of the reference's pass before training.
    Names, labels, licence and all else that was given from outside is shown as text.
    """
    outcome, rule = ledger["outcome"], ledger["spec"]["early_stopping"]
    kind, available = kind_of(spec["kind"]), checks[spec["train"]]["instances"]
    supervision = code(spec["supervision"])
    referenced = spec["reference_source"] is not None
    of_selection = {
        "supervision": supervision,
        **{f"cost_{part}": percent for part, percent in cost.items()},
        "reference": markdown(spec["reference"]),
        "reference_origin": _origin(spec["reference_source"]) if referenced else "",
        **(TRAINED if spec.get("trained", True) else UNTRAINED),
        "reference_seconds": passed + sum(map(seconds_of, references)) / max(1, len(references)),
        "main_seconds": seconds_of(ledger),
    }
    told = REFERENCED if referenced else UNREFERENCED
    text = TEMPLATE.read_text(encoding="utf-8").format(
        **{key: markdown(spec[key]) for key in ("main", "task", "license")},
        **{key: sentence.format(**of_selection) for key, sentence in told.items()},
        supervision=supervision,
        **{key: outcome[key] for key in ("steps", "planned_steps")},
        **{key: markdown(ledger["execution"][key]) for key in ("precision", "device")},
        **{key: spec["recipe"][key] for key in ("max_length", "batch_size", "learning_rate")},
        cost_total=cost["total"],
        title=kind.title,
        labels=f" with the labels {_listed(spec['labels'])}" if spec.get("labels") else "",
        usage=kind.usage(spec["text"], encoder_decoder),
        main_origin=_origin(spec["main_source"]),
        columns=("the column " if len(spec["text"]) == 1 else "the columns ") + _listed(spec["text"]),
        data=_data(spec, checks),
        chosen=outcome["training_instances"],
        available=available,
        percent=100 * outcome["training_instances"] / available,
        seed=ledger["run"]["seed"],
        stop=_stop(outcome, rule),
        adapter=_adapter(ledger),
        cut=_cut(outcome.get("cut"), spec["recipe"]["max_length"]),
        monitored_metric=metric(rule["metric"]).label,
        monitored=_listed(choosing_sets(ledger)),
        versions=", ".join(f"{name} {version}" for name, version in sorted(ledger["versions"].items())),
        scores=_scores(spec, ledger["run"]["seed"], scores, excluded),
        paid=NOT_COMPARED,
    )
    pipeline = kind.pipeline_of(encoder_decoder)
    return f"---\n{_metadata(spec, scores, pipeline)}---\n\n{text}"


def write_compared_card(card_file: Path, verdict_file: Path, output: Path) -> None:
    """Write a card again that says whether FTFT paid, by a verdict of `results.verdicts`.

    Raises ArtifactError for a card without the place for it.
    """
    card = Path(card_file).read_text(encoding="utf-8")
    if card.count(NOT_COMPARED) != 1:
        raise ArtifactError(
            f"{card_file} has no place for a verdict",
            expected=f"the sentence: {NOT_COMPARED}",
            fix=f"make it again: snakemake --force {card_file}",
        )
    told = " ".join(f"{text}." for text in read_json(verdict_file)["sentences"])
    write_text(output, card.replace(NOT_COMPARED, markdown(told, 4000)))


def _metadata(spec: dict, scores: pd.DataFrame, pipeline: str) -> str:
    results = [
        {
            "task": {"type": pipeline},
            "dataset": {"name": plain(f"{spec['task']}: {row.dataset}"), "type": "private"},
            "metrics": [{"type": metric(spec["metric"]).hub, "value": round(float(row.score), 4)}],
        }
        for row in scores.itertuples()
    ]
    source = spec["main_source"]
    metadata = {
        "library_name": "transformers",
        "pipeline_tag": pipeline,
        "license": plain(spec["license"]),
        **({"base_model": source["id"]} if source["source"] == "hub" else {}),
        "tags": ["ftft", "dataset-cartography"],
        "metrics": [metric(spec["metric"]).hub],
        "model-index": [{"name": f"{spec['main']} on {spec['task']}", "results": results}],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _data(spec: dict, checks: dict) -> str:
    roles = {spec["train"]: "training", spec["validation"]: "validation"}
    roles |= {name: "development, out of distribution" for name in spec["dev"] if name not in roles}
    roles |= {name: "evaluation" for name in spec["datasets"] if name not in roles}
    lines = [
        [
            name,
            role,
            f"{checks[name]['instances']:,}",
            ", ".join(f"{plain(label)} {count:,}" for label, count in checks[name].get("labels", {}).items())
            or "-",
            str(checks[name].get("found_in_training", "-")),
        ]
        for name, role in roles.items()
    ]
    header = ["Data set", "Role", "Instances", "Labels", "Of them in training"]
    notes = correction_notes({name: checks[name] for name in roles})
    return to_markdown(Rendering(f"The data sets of {spec['task']}:", header, lines, notes=notes)).strip()


def _stop(outcome: dict, rule: dict) -> str:
    patience = f"{rule['patience']} checkpoints without improvement"
    return f"Stopped after {patience}." if outcome["stopped_early"] else f"No stop: there were no {patience}."


def _cut(cut: dict | None, max_length: int) -> str:
    """How many training rows were cut; `cut` is `models.tokens.Cut` of the training set."""
    if cut is None:
        return ""
    if not cut["rows"]:
        return " No training text was cut."
    share = 100 * cut["rows"] / cut["total"]
    return (
        f" {cut['rows']:,} of {cut['total']:,} training texts ({share:.1f} %) were longer and were cut, "
        f"the longest of {cut['longest']:,} tokens to {max_length}, and {cut['tokens']:,} tokens were lost."
    )


def _scores(spec: dict, seed: int, scores: pd.DataFrame, excluded: dict[RunKey, str]) -> str:
    seeds = len(spec["seeds"])
    own = {key: reason for key, reason in excluded.items() if key[1] == spec["supervision"]}
    learnt = seeds - len(own)
    lines = [
        [
            row.dataset + CHOSE * bool(row.chose),
            f"{row.instances:,}",
            f"{100 * row.score:.2f}",
            f"{100 * row.low:.2f} to {100 * row.high:.2f}",
            f"{100 * row.floor:.2f}",
            "-" if pd.isna(row.std) else f"{100 * row.mean:.2f} ± {100 * row.std:.2f}",
        ]
        for row in scores.itertuples()
    ]
    label = metric(spec["metric"]).label
    spread = "; mean ± standard deviation" if learnt > 1 else ""
    caption = (
        f"{label[0].upper()}{label[1:]} of this model (seed {seed}) in percent; its "
        f"{100 * spec['confidence']:g} % interval, by a bootstrap over examples{spread}."
    )
    over = f"Over {learnt} seeds" if learnt > 1 else "Over seeds"
    header = ["Data set", "Instances", "Score", "Interval", "Trivial answer", over]
    notes = [metric_note(spec["metric"])]
    chosen = scores[scores["chose"] != ""]
    if len(chosen):
        names = ", ".join(chosen["dataset"])
        notes.append(
            f"{CHOSE} {names} chose the {chosen['chose'].iloc[0]} of this model: the score there is too high"
        )
    if own:
        notes.append(f"{len(own)} of {seeds} seeds failed and are left out")
        notes += exclusion_notes(own)
    if learnt > 1:
        notes.append("This model is the best of its seeds by the score that stopped it, not by these")
    return to_markdown(Rendering(caption, header, lines, notes=notes)).strip()


def _origin(source: dict) -> str:
    """Where an encoder came from, in words."""
    layers = f"the first {source['keep_layers']} layers of " if "keep_layers" in source else ""
    match source["source"]:
        case "hub":
            address = f"https://huggingface.co/{quote(source['id'])}/tree/{quote(source['revision'])}"
            return f"{layers}[{markdown(source['id'])}]({address})"
        case "folder":
            return f"{layers}the encoder in the folder {code(source['path'])}"
        case "package":
            return f"{layers}the encoder of the Python package {code(source['package'])}"
    return f"random weights ({markdown(source['architecture']['model_type'])})"


def _adapter(ledger: dict) -> str:
    """How an adapter was trained, in words; nothing of a model that was trained whole."""
    adapter = ledger["spec"].get("adapter")
    if adapter is None:
        return ""
    counts = ledger["cost"]["parameters"]
    return (
        f" A LoRA adapter of rank {adapter['rank']} and the head were trained, "
        f"{100 * counts['trained'] / counts['total']:.2g} % of the parameters; the adapter is merged into "
        "the weights here, and lies alone in `adapter/`."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(code, names))
