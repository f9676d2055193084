"""A model card for the Hugging Face hub, made from a run: Mitchell et al. (2019), with the hub's metadata."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from .rendering import METRIC_NAMES, Rendering, to_markdown

TEMPLATE = Path(__file__).parents[3] / "workflow" / "report" / "model_card" / "card.md"
# The hub's names.
METRIC_TYPES = {"accuracy": "accuracy", "macro_f1": "f1"}


def model_card(
    spec: dict,
    ledger: dict,
    references: list[dict],
    checks: dict,
    scores: pd.DataFrame,
    cost: dict[str, float],
    learnt: int,
) -> str:
    """The card of the run that `ledger` is of, as Markdown with the hub's front matter.

    `spec` is the slice of the rule, `references` the ledgers of all reference runs, `checks` the report on
    the task's data, `scores` and `cost` those of `finetuned`, `learnt` the number of runs that did not fail.
    """
    outcome, rule = ledger["outcome"], ledger["spec"]["early_stopping"]
    available = sum(checks[spec["train"]]["labels"].values())
    text = TEMPLATE.read_text(encoding="utf-8").format(
        **{key: spec[key] for key in ("main", "reference", "task", "supervision", "license")},
        **{key: outcome[key] for key in ("steps", "planned_steps")},
        **{key: ledger["cost"][key] for key in ("precision", "device")},
        **{key: spec["recipe"][key] for key in ("max_length", "batch_size", "learning_rate")},
        **{f"cost_{part}": percent for part, percent in cost.items()},
        labels=_listed(spec["labels"]),
        main_origin=_origin(spec["main_source"]),
        reference_origin=_origin(spec["reference_source"]),
        example=_example(spec["text"]),
        columns=("the column " if len(spec["text"]) == 1 else "the columns ") + _listed(spec["text"]),
        data=_data(spec, checks),
        chosen=outcome["training_instances"],
        available=available,
        percent=100 * outcome["training_instances"] / available,
        seed=ledger["run"]["seed"],
        stop=_stop(outcome, rule),
        monitored_metric=METRIC_NAMES[rule["metric"]],
        monitored=_listed(rule["monitored"]),
        versions=", ".join(f"{name} {version}" for name, version in sorted(ledger["versions"].items())),
        scores=_scores(spec, ledger["run"]["seed"], scores, learnt),
        reference_seconds=np.mean([entry["cost"]["training_seconds"] for entry in references]),
        main_seconds=ledger["cost"]["training_seconds"],
    )
    return f"---\n{_metadata(spec, scores)}---\n\n{text}"


def _metadata(spec: dict, scores: pd.DataFrame) -> str:
    results = [
        {
            "task": {"type": "text-classification"},
            "dataset": {"name": f"{spec['task']}: {row.dataset}", "type": "private"},
            "metrics": [{"type": METRIC_TYPES[spec["metric"]], "value": round(float(row.score), 4)}],
        }
        for row in scores.itertuples()
    ]
    source = spec["main_source"]
    metadata = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "license": spec["license"],
        **({"base_model": source["id"]} if source["source"] == "hub" else {}),
        "tags": ["ftft", "dataset-cartography"],
        "metrics": [METRIC_TYPES[spec["metric"]]],
        "model-index": [{"name": f"{spec['main']} on {spec['task']}", "results": results}],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _example(columns: list[str]) -> str:
    return '"a text"' if len(columns) == 1 else '{"text": "a text", "text_pair": "another text"}'


def _data(spec: dict, checks: dict) -> str:
    roles = {spec["train"]: "training", spec["validation"]: "validation"}
    roles |= {name: "development, out of distribution" for name in spec["dev"] if name not in roles}
    roles |= {name: "evaluation" for name in spec["datasets"] if name not in roles}
    lines = [
        [
            name,
            role,
            f"{sum(checks[name]['labels'].values()):,}",
            ", ".join(f"{label} {count:,}" for label, count in checks[name]["labels"].items()),
            str(checks[name].get("found_in_training", "-")),
        ]
        for name, role in roles.items()
    ]
    header = ["Data set", "Role", "Instances", "Labels", "Of them in training"]
    return to_markdown(Rendering(f"The data sets of {spec['task']}:", header, lines)).strip()


def _stop(outcome: dict, rule: dict) -> str:
    patience = f"{rule['patience']} checkpoints without improvement"
    return f"Stopped after {patience}." if outcome["stopped_early"] else f"No stop: there were no {patience}."


def _scores(spec: dict, seed: int, scores: pd.DataFrame, learnt: int) -> str:
    lines = [
        [
            row.dataset,
            f"{row.instances:,}",
            f"{100 * row.score:.2f}",
            f"{100 * row.low:.2f} to {100 * row.high:.2f}",
            f"{100 * row.majority:.2f}",
            "-" if pd.isna(row.std) else f"{100 * row.mean:.2f} ± {100 * row.std:.2f}",
        ]
        for row in scores.itertuples()
    ]
    metric = METRIC_NAMES[spec["metric"]]
    caption = (
        f"{metric[0].upper()}{metric[1:]} of this model (seed {seed}) in percent; its "
        f"{100 * spec['confidence']:g} % interval, by a bootstrap over examples; mean ± standard deviation."
    )
    header = ["Data set", "Instances", "Score", "Interval", "Most frequent label", f"Over {learnt} seed(s)"]
    seeds = len(spec["seeds"])
    notes = [f"{seeds - learnt} of {seeds} seeds failed and are left out"] if learnt < seeds else []
    if learnt > 1:
        notes.append("This model is the best of its seeds by the score that stopped it, not by these")
    return to_markdown(Rendering(caption, header, lines, notes=notes)).strip()


def _origin(source: dict) -> str:
    """Where an encoder came from, in words."""
    layers = f"the first {source['keep_layers']} layers of " if "keep_layers" in source else ""
    match source["source"]:
        case "hub":
            return (
                f"{layers}[{source['id']}](https://huggingface.co/{source['id']}/tree/{source['revision']})"
            )
        case "folder":
            return f"{layers}the encoder in the folder `{source['path']}`"
        case "package":
            return f"{layers}the encoder of the Python package `{source['package']}`"
    return f"random weights ({source['architecture']['model_type']})"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
