"""Configurations that must be refused, each with its place and its cure; never another exception."""

import copy
import datetime
import json
import os
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from ftft.artifacts import canonical_json
from ftft.errors import ConfigError
from ftft.pipeline import parameters as slices
from ftft.pipeline import plan
from ftft.pipeline.config import Configuration, check_file, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ERM = "{task: demo, rows: [{method: ERM, main: large}]}"
FILE = "source: file, path: rows.csv"
HUB = "source: hub, id: org/name, split: test"
# Laid over tests/config/tiny.yaml as Snakemake lays --configfile over the workflow's own: YAML, and what
# the message must hold: the place, and the cure.
OVERLAYS = {
    # YAML reads otherwise than one writes.
    "float without a point": ("training: {learning_rate: 1e-5}", "training.learning_rate", "write 1.0e-5"),
    "float in capitals": ("training: {adam_epsilon: 1E-6}", "training.adam_epsilon", "write 1.0e-6"),
    "number in quotes": ('training: {batch_size: "32"}', "training.batch_size: got '32'", "without quotes"),
    "decimal comma": ("selection: {fraction: '0,33'}", "selection.fraction: got '0,33', expected a number"),
    "percent": ("selection: {fraction: 33%}", "selection.fraction: got '33%', expected a number"),
    "yes as a number": ("training: {epochs: yes}", "training.epochs: got True, expected a number"),
    "no as a label": (
        "tasks: {demo: {labels: [no, yes]}}",
        "labels[0]: got False, expected text",
        "in quotes",
    ),
    "digits as a label": ("tasks: {demo: {labels: [0, 1]}}", "labels[0]: got 0, expected text", "in quotes"),
    "null as a label": ("tasks: {demo: {labels: [null, a]}}", "labels[0]: got None, expected text"),
    "on as a column": (
        "tasks: {demo: {label: on}}",
        "tasks.demo.label: got True, expected text",
        "in quotes",
    ),
    "digits as a model": ("models: {7: {source: hub}}", "models: got 7, expected text", "in quotes"),
    "octal revision": (
        f"models: {{m: {{source: hub, id: a/b, revision: 0{'1' * 39}}}}}",
        "models.m.revision: got 23736",
        "in quotes",
    ),
    "date": ("tables: {table1: {title: 2024-01-01}}", "tables.table1.title: got datetime.date", "in quotes"),
    "time": ("runtime: {minutes: 2001-12-14 21:59:43}", "runtime.minutes: got datetime.datetime"),
    "binary": ("tables: {table1: {title: !!binary aGk=}}", "tables.table1.title: got b'hi', expected text"),
    "set": ("seeds: !!set {0, 1}", "seeds: got {0, 1}, expected text, a number"),
    "tuple": ("seeds: !!python/tuple [0, 1]", "seeds: got (0, 1), expected text, a number"),
    "function": ("checks: {leakage: !!python/name:len }", "checks.leakage: got <built-in function len>"),
    "complex number": ("training: {epochs: !!python/complex 1+2j}", "training.epochs: got (1+2j)"),
    "null for a section": ("training:", "training: got None, expected a mapping of keys to values"),
    "list for a mapping": (
        "early_stopping: [patience, 2]",
        "early_stopping: got ['patience', 2], expected a m",
    ),
    "mapping for a list": ("seeds: {0: 1}", "seeds: got {0: 1}, expected a list"),
    "text for a list": ("tasks: {demo: {dev: r1_dev}}", "tasks.demo.dev: got 'r1_dev', expected a list"),
    "key that is null": ("tasks: {demo: {datasets: {train: {label_names: {~: neutral}}}}}", "key None"),
    "key that is nan": ("tasks: {demo: {datasets: {train: {label_names: {.nan: neutral}}}}}", "key nan"),
    "column that is a number": (
        "tasks: {demo: {datasets: {train: {where: {3: a}}}}}",
        "where: got the key 3",
    ),
    "setting that is a number": (
        "models: {small: {architecture: {1: a, b: c}}}",
        "architecture: got the key 1",
    ),
    "setting that is a date": ("models: {small: {architecture: {x: 2024-01-01}}}", "architecture.x: got dat"),
    "setting that is infinite": ("models: {small: {architecture: {x: .inf}}}", "architecture.x: got inf"),
    "lone surrogate": (r'tasks: {demo: {label: "\ud800"}}', "tasks.demo.label: got '\\ud800'", "surrogates"),
    "deep nesting": (
        f"models: {{small: {{architecture: {{x: {'[' * 30 + ']' * 30}}}}}}}",
        "more than 20 deep",
    ),
    "anchor in itself": ("models: {small: {architecture: {x: &x [*x]}}}", "an anchor that holds itself"),
    # Numbers.
    "nan": (
        "training: {weight_decay: .nan}",
        "training.weight_decay: got nan, expected a number that is fin",
    ),
    "infinity": ("training: {max_grad_norm: .inf}", "training.max_grad_norm: got inf, expected a number"),
    "overflow": ("training: {learning_rate: 1.0e+400}", "training.learning_rate: got inf"),
    "epochs without end": ("training: {epochs: 1.0e+300}", "training.epochs: got 1e+300, expected at most"),
    "negative rate": (
        "training: {learning_rate: -2.0e-5}",
        "training.learning_rate: got -2e-05, expected above",
    ),
    "negative seed": ("seeds: [-1]", "seeds[0]: got -1, expected at least 0"),
    "seed twice": ("seeds: [1, 2, 1]", "seeds: got [1, 2, 1], expected each entry once"),
    "seed twice in two spellings": ("seeds: [1, 1.0]", "seeds: got [1, 1.0], expected each entry once"),
    "seed as true": ("seeds: [true]", "seeds[0]: got True, expected a whole number"),
    "half a seed": ("seeds: [1.5]", "seeds[0]: got 1.5, expected a whole number"),
    "seed as text": ("seeds: ['1']", "seeds[0]: got '1', expected a whole number", "without quotes"),
    "seed beyond 31 bits": ("seeds: [4294967296]", "seeds[0]: got 4294967296", "whole number below 2^31"),
    "size beyond 31 bits": (f"training: {{batch_size: 1{'0' * 30}}}", "training.batch_size", "below 2^31"),
    "fraction below the names' digits": ("selection: {fraction: 1.0e-14}", "selection.fraction", "too small"),
    "fraction in percent": ("selection: {fraction: 33}", "selection.fraction: got 33, expected at most 1"),
    "no checkpoints": ("training: {checkpoints: 0}", "training.checkpoints: got 0, expected at least 1"),
    "no patience": ("early_stopping: {patience: 0}", "early_stopping.patience: got 0, expected at least 1"),
    "rows below one": ("tasks: {demo: {datasets: {train: {rows: 0}}}}", "datasets.train.rows: got 0"),
    # Names become paths.
    "name that climbs": ("models: {'..': {source: hub}}", "models: the name '..' may hold letters"),
    "name with a path": ("tasks: {'../../etc': {}}", "tasks: the name '../../etc' may hold letters"),
    "absolute name": (f"tables: {{/tmp/x: {ERM}}}", "tables: the name '/tmp/x' may hold letters"),
    "name with a backslash": (r"models: {'..\x': {source: hub}}", "may hold letters, digits"),
    "name with NUL": (r'models: {"a\0b": {source: hub}}', r"models: the name 'a\x00b'"),
    "name with a line's end": (f'tables: {{"x\\n": {ERM}}}', r"tables: the name 'x\n' may hold letters"),
    "name with a space": ("models: {'a b': {source: hub}}", "models: the name 'a b' may hold letters"),
    "hidden name": ("models: {.git: {source: hub}}", "models: the name '.git'", "begin with a letter"),
    "name like an option": ("models: {--force: {source: hub}}", "models: the name '--force'", "begin with"),
    "look-alike letter": ("models: {sm\u0430ll: {source: hub}}", "models: the name 'sm\u0430ll' may hold"),
    "full-width letter": ("models: {\uff21: {source: hub}}", "models: the name '\uff21' may hold letters"),
    "direction override": ('models: {"a\\u202eb": {source: hub}}', "may hold letters, digits"),
    "wildcard": ("models: {'{task}': {source: hub}}", "models: the name '{task}' may hold letters"),
    "shell": ("models: {'$(id)': {source: hub}}", "models: the name '$(id)' may hold letters"),
    "empty name": ("models: {'': {source: hub}}", "models: the name '' may hold letters"),
    "long name": (f"models: {{{'m' * 81}: {{source: hub}}}}", "expected at most 80 characters"),
    "names that differ by case": (f"tables: {{Table1: {ERM}}}", "'table1' and 'Table1' are one file"),
    "data sets that differ by case": (
        "tasks: {demo: {datasets: {Train: {source: demo, split: train, rows: 9}}}}",
        "tasks.demo.datasets: the names 'train' and 'Train' are one file",
    ),
    "reserved model": (
        "models: {random: {source: package, package: p}}",
        "models: the name 'random' is reserved",
    ),
    "name of all data": (
        "models: {all: {source: package, package: p}}",
        "models: the name 'all' is reserved",
    ),
    "table that another rule writes": (f"tables: {{claims: {ERM}}}", "the name 'claims' is reserved"),
    "table over another's provenance": (f"tables: {{t.provenance: {ERM}}}", "'t.provenance' is reserved"),
    "reserved table": (f"tables: {{table3: {ERM}}}", "tables: the name 'table3' is reserved"),
    "table of training lengths": (
        f"tables: {{training-length-demo: {ERM}}}",
        "'training-length-demo' is reserved",
    ),
    "table over another's costs": (f"tables: {{table1.costs: {ERM}}}", "'table1.costs' is reserved"),
    "data set over a column": (
        "tasks: {demo: {datasets: {cost: {source: demo, split: train, rows: 9}}}}",
        "the name 'cost' is a column of the tables",
    ),
    "overlap that climbs": ("figures: {overlap: {../x: [small]}}", "figures.overlap: the name '../x'"),
    "lengths of no task": (
        "figures: {training_length: {dmo: {main: large, references: [small], steps: [5]}}}",
        "figures.training_length.dmo.task: there is no task 'dmo'",
    ),
    # Text that is shown.
    "title of two lines": (r'tables: {table1: {title: "a\nb"}}', "tables.table1.title", "text in one line"),
    "label with an escape": (r'tasks: {demo: {labels: ["\e[31m", b]}}', "labels[0]", "text in one line"),
    "label of spaces": ("tasks: {demo: {labels: [' ', b]}}", "labels[0]: got ' ', expected text in one line"),
    # Sources.
    "unknown source": ("models: {small: {source: url}}", "models.small.source: got 'url'", "hub, folder"),
    "branch": ("models: {m: {source: hub, id: a/b, revision: main}}", "got 'main', expected a commit"),
    "short commit": (
        f"tasks: {{demo: {{datasets: {{x: {{{HUB}, revision: {COMMIT[:12]}}}}}}}}}",
        "datasets.x.revision: got '0123456789ab', expected a commit of the repository, all 40 digits",
    ),
    "commit in capitals": (
        f"tasks: {{demo: {{datasets: {{x: {{{HUB}, revision: {COMMIT.upper()}}}}}}}}}",
        "datasets.x.revision",
        "all 40 digits",
    ),
    "no revision": ("models: {m: {source: hub, id: a/b}}", "models.m: source 'hub' needs the key 'revision'"),
    "hub id as address": ("models: {m: {source: hub, id: 'https://x.co/a/b'}}", "models.m.id", "owner/name"),
    "hub id of three parts": (
        "models: {m: {source: hub, id: a/b/c}}",
        "models.m.id: got 'a/b/c'",
        "owner/name",
    ),
    "hub id as folder": ("models: {m: {source: hub, id: ./a}}", "models.m.id: got './a'", "owner/name"),
    "hub id with a line's end": ('models: {m: {source: hub, id: "a/b\\n"}}', "models.m.id", "owner/name"),
    "package that is a path": ("models: {m: {source: package, package: ../p}}", "by which Python imports"),
    "key of another source": (
        f"tasks: {{demo: {{datasets: {{x: {{{FILE}, split: test}}}}}}}}",
        "datasets.x.split: source 'file' takes no such key; it takes path, format",
    ),
    "revision of a folder": (
        f"models: {{m: {{source: folder, path: ., revision: {COMMIT}}}}}",
        "models.m.revision: source 'folder' takes no such key; it takes path, keep_layers",
    ),
    "layers of a new model": (
        "models: {small: {keep_layers: 1}}",
        "models.small.keep_layers: source 'scratch'",
    ),
    "architecture of a hub model": (
        f"models: {{m: {{source: hub, id: a/b, revision: {COMMIT}, architecture: {{model_type: bert}}}}}}",
        "models.m.architecture: source 'hub' takes no such key",
    ),
    # Files.
    "missing file": (
        "tasks: {demo: {datasets: {x: {source: file, path: no.csv}}}}",
        "there is no file 'no.csv'",
    ),
    "folder for a file": (
        "tasks: {demo: {datasets: {x: {source: file, path: folder.csv}}}}",
        "there is no file",
    ),
    "file for a folder": ("models: {m: {source: folder, path: rows.csv}}", "there is no folder 'rows.csv'"),
    "links in a circle": (
        "tasks: {demo: {datasets: {x: {source: file, path: loop.csv}}}}",
        "there is no file",
    ),
    "dangling link": (
        "tasks: {demo: {datasets: {x: {source: file, path: dangling.csv}}}}",
        "there is no file",
    ),
    "path with NUL": (r'tasks: {demo: {datasets: {x: {source: file, path: "a\0.csv"}}}}', "there is no file"),
    "path too long": (
        f"tasks: {{demo: {{datasets: {{x: {{source: file, path: {'x' * 5000}.csv}}}}}}}}",
        "no file",
    ),
    "address for a file": (
        "tasks: {demo: {datasets: {x: {source: file, path: 'https://x/a.csv'}}}}",
        "no file",
    ),
    "home not expanded": (
        "tasks: {demo: {datasets: {x: {source: file, path: ~/a.csv}}}}",
        "there is no file '~/a",
    ),
    "device for a file": (
        "tasks: {demo: {datasets: {x: {source: file, path: /dev/null}}}}",
        "there is no file",
    ),
    "archive": ("tasks: {demo: {datasets: {x: {source: file, path: rows.zip}}}}", "cannot tell the format"),
    "braces in a path": (
        "tasks: {demo: {datasets: {x: {source: file, path: '{task}.csv'}}}}",
        "as a wildcard",
    ),
    # Names that lead nowhere; parts that contradict each other.
    "training set as test": ("tasks: {demo: {evaluate: [train]}}", "evaluate: 'train' is the training set"),
    "unknown development set": ("tasks: {demo: {dev: [r9]}}", "tasks.demo.dev: there is no data set 'r9'"),
    "development set twice": ("tasks: {demo: {dev: [r1_dev, r1_dev]}}", "tasks.demo.dev", "each entry once"),
    "label twice": ("tasks: {demo: {labels: [a, b, a]}}", "tasks.demo.labels", "expected each entry once"),
    "one label": ("tasks: {demo: {labels: [a]}}", "tasks.demo.labels: got ['a'], expected at least 2"),
    "label columns without a label": (
        "tasks: {demo: {kind: multilabel, label_columns: [a, b], metric: macro_f1}}",
        "tasks.demo.label_columns: got 2 columns, expected one for each of the 3 labels",
    ),
    "texts beside words": (
        "tasks: {demo: {kind: token_classification, metric: entity_f1}}",
        "tasks.demo.text: got ['premise', 'hypothesis'], expected one column",
    ),
    "key of another kind": ("tasks: {demo: {pool: min}}", "tasks.demo.pool: kind 'classification' takes no"),
    "metric that needs generated texts": (
        "tasks: {demo: {kind: generation, metric: response_match}}",
        "got 'response_match', expected one that fits the kind 'generation': token_likelihood",
    ),
    "table of a metric where less is better": (
        "tables: {table1: {metric: perplexity}}",
        "tables.table1.metric: got 'perplexity', expected one that fits the kind 'classification'",
    ),
    "unknown pool": (
        "tasks: {demo: {kind: token_classification, pool: most}}",
        "tasks.demo.pool: got 'most', expected one of",
    ),
    "labels of a number": (
        "tasks: {demo: {kind: regression, metric: spearman}}",
        "tasks.demo.labels: kind 'regression' takes no such key",
    ),
    "metric of another kind": (
        "tasks: {demo: {kind: multilabel, metric: accuracy}}",
        "tasks.demo.metric: got 'accuracy', expected one that fits the kind 'multilabel': macro_f1",
    ),
    "text twice": ("tasks: {demo: {text: [premise, premise]}}", "tasks.demo.text", "each entry once"),
    "three texts": (
        "tasks: {demo: {text: [a, b, c]}}",
        "tasks.demo.text: got ['a', 'b', 'c'], expected at most 2",
    ),
    "label as text": (
        "tasks: {demo: {text: [premise, label]}}",
        "the column 'label' is the label and a text",
    ),
    "label as uid": ("tasks: {demo: {uid: label}}", "the column 'label' is the label and a text or uid too"),
    "raw label twice": (
        "tasks: {demo: {datasets: {train: {label_names: {1: neutral, '1': entailment}}}}}",
        "train.label_names: 2 keys are spelled 1 in the rows",
    ),
    "raw label to no label": (
        "tasks: {demo: {datasets: {train: {label_names: {1: maybe}}}}}",
        "label_names[1]: 'maybe' is none of the labels of tasks.demo",
    ),
    "row of no model": (
        "tables: {t: {task: demo, rows: [{method: ERM, main: big}]}}",
        "there is no model 'big'",
    ),
    "row of no task": (
        "tables: {t: {task: nil, rows: [{method: ERM, main: large}]}}",
        "there is no task 'nil'",
    ),
    "table without rows": (
        "tables: {t: {task: demo, rows: []}}",
        "tables.t.rows: got [], expected at least 1",
    ),
    "transfer from nowhere": (
        "tables: {t: {task: demo, rows: [{method: DM, main: large}]}}",
        "needs a reference",
    ),
    "weights in bfloat16 of several processes": (
        "training: {precision: bfloat16_weights}\nruntime: {processes: 2}",
        "1 fault:",
        "training.precision: got 'bfloat16_weights', which one process trains, but runtime.processes is 2",
        "take bfloat16 here, with runtime.sharding: fsdp2",
    ),
    "weights in bfloat16 of one model in several processes": (
        "models: {large: {training: {precision: bfloat16_weights}}}\nruntime: {processes: 3}",
        "1 fault:",
        "models.large.training.precision: got 'bfloat16_weights', which one process trains",
    ),
    "model taken home of no task": (
        "finetune: {dem: {main: large, reference: small}}",
        "finetune.dem: there is no task 'dem'; did you mean 'demo'?",
    ),
    "model taken home that is not": (
        "finetune: {demo: {main: larg, reference: small}}",
        "finetune.demo.main: there is no model 'larg'; did you mean 'large'?",
    ),
    "model taken home without a reference": (
        "finetune: {demo: {main: large}}",
        "finetune.demo: the key 'reference' is missing",
    ),
    "model taken home by a selector without its reference": (
        "finetune: {demo: {main: large, reference: random, selector: easy}}",
        "finetune.demo.selector: it goes by a reference model; balanced, balanced_weights, longest need none",
    ),
    "model taken home by a fraction of all rows": (
        "finetune: {demo: {main: large, reference: random, selector: balanced_weights, fraction: 0.5}}",
        "finetune.demo.fraction: 'balanced_weights' takes every row and no fraction; remove it",
    ),
    "model taken home by no selector": (
        "finetune: {demo: {main: large, reference: small, selector: eazy}}",
        "finetune.demo.selector: got 'eazy', expected a selector or one of selections; did you mean 'easy'?",
    ),
    "licence over two lines": (
        'finetune: {demo: {main: large, reference: small, license: "a\\nb"}}',
        "finetune.demo.license: got 'a\\nb', expected text in one line",
    ),
    "selector that is not": (
        "tables: {t: {task: demo, rows: [{method: DM, main: large, reference: small, selector: ambigous}]}}",
        "tables.t.rows[0].selector: got 'ambigous', expected a selector or one of selections; did you mean",
    ),
    "selection by a selector's name": (
        "selections: {easy: {mixture: class_balanced}}",
        "selections: the name 'easy' is that of a selector",
    ),
    "selection with a dash": (
        "selections: {too-easy: {mixture: class_balanced}}",
        "got 'too-easy', expected a name of letters, digits, '.', '_' without a dash",
    ),
    "selection without a mixture": (
        "selections: {a: {easy: 0.2}}",
        "selections.a: the key 'mixture' is missing",
    ),
    "mixture that is not": ("selections: {a: {mixture: balanced}}", "selections.a.mixture: got 'balanced'"),
    "another mixture's setting": (
        "selections: {a: {mixture: coverage_centric, easy: 0.2}}",
        "selections.a.easy: the mixture coverage_centric takes pruned, strata",
    ),
    "setting of a mixture without any": (
        "selections: {a: {mixture: class_balanced, copies: 2}}",
        "selections.a.copies: the mixture class_balanced takes no settings",
    ),
    "everything pruned": (
        "selections: {a: {mixture: coverage_centric, pruned: 1}}",
        "selections.a.pruned: got 1, expected below 1",
    ),
    "selection with two readings": (
        "{models: {s-hard-to: {source: package, package: p}}, "
        "selections: {learn: {mixture: class_balanced}}, tables: {t: {task: demo, rows: "
        "[{method: DM, main: large, reference: s-hard-to, selector: learn}]}}}",
        "'s-hard-to-learn' could also be read as 'hard-to-learn' of 's'; rename the selection",
    ),
    "EL2N from an epoch that is not": (
        "{selection: {el2n_epochs: [1, 4]}, tables: {t: {task: demo, rows: "
        "[{method: DM, main: large, reference: small, selector: el2n}]}}}",
        "selection.el2n_epochs: got [1, 4], but the reference 'small' trains for 3 epochs, counted from 0",
    ),
    "selector of all data": (
        "tables: {t: {task: demo, rows: [{method: ERM, main: large, selector: easy}]}}",
        "tables.t.rows[0].selector: it goes by a reference model; remove it",
    ),
    "selector of random data": (
        "tables: {t: {task: demo, rows: [{method: DM, main: large, reference: random, selector: easy}]}}",
        "tables.t.rows[0].selector: it goes by a reference model",
    ),
    "two models in one role": (
        "models: {small: {stands_for: bert-tiny}, large: {stands_for: bert-tiny}}",
        "models.large.stands_for: 'bert-tiny' is already played by 'small'",
    ),
    "early stopping by nothing": (
        "tasks: {demo: {dev: []}}",
        "tasks.demo.dev",
        "early_stopping.monitors: [id]",
    ),
    "two lengths": ("training: {steps: 5}", "training: got both 'steps' and 'epochs', expected one of them"),
    "misspelt key": ("trainig: {epochs: 3}", "unknown key 'trainig'; did you mean 'training'?"),
    "key with a space": ("'training ': {epochs: 3}", "unknown key 'training '; did you mean 'training'?"),
}


@pytest.fixture
def tiny(root, tmp_path, monkeypatch):
    """tests/config/tiny.yaml, in a folder with the files that OVERLAYS name."""
    monkeypatch.chdir(tmp_path)
    for name in ("rows.csv", "rows.csv.gz", "{task}.csv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "dangling.csv").symlink_to("absent")
    return yaml.safe_load((root / "tests/config/tiny.yaml").read_text())


@pytest.mark.parametrize("what", OVERLAYS)
def test_bad_configuration_is_refused_with_place_and_cure(what, tiny, tmp_path):
    text, *words = OVERLAYS[what]
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    # As Snakemake reads it, which knows types that check_file refuses.
    update_config(tiny, load_configfile(tmp_path / "bad.yaml"))
    with pytest.raises(ConfigError) as caught:
        resolve(tiny)
    message = str(caught.value)
    assert "what to do" in message
    for word in words:
        assert word in message


# Files that Snakemake takes for another configuration than they show, and those it cannot read.
FILES = {
    "key twice": (b"seeds: [0]\ntasks: {}\nseeds: [1]\n", "'seeds' stands twice: in lines 1 and 3"),
    "key twice in a line": (b"training: {epochs: 3, epochs: 4}", "'epochs' stands twice: in lines 1 and 1"),
    "key twice under an anchor": (
        b"a: &a {x: 1}\nb:\n  <<: *a\n  y: 1\n  y: 2\n",
        "'y' stands twice: in lines",
    ),
    "key twice in JSON": (b'{"seeds": [0], "tasks": {"a": 1, "a": 2}}', "the key 'a' stands twice"),
    "program": (
        b"__use_yte__: true\nseeds: ?list(range(3))\n",
        "'__use_yte__', by which Snakemake runs Python",
    ),
    "program in JSON": (b'{"__use_yte__": true}', "'__use_yte__', by which Snakemake runs Python"),
    "program switched off": (b"__use_yte__: false\n", "'__use_yte__', by which Snakemake runs Python"),
    "Python's name": (b"seeds: !!python/name:os.system\n", "python/name:os.system"),
    "Python's call": (b"seeds: !!python/object/apply:os.getpid []\n", "python/object/apply:os.getpid"),
    "tuple": (b"seeds: !!python/tuple [0]\n", "python/tuple"),
    "tab": (b"checks:\n\tleakage: warn\n", "found character '\\t' that cannot start any token"),
    "unknown alias": (b"seeds: *seeds\n", "found undefined alias 'seeds'"),
    "two documents": (b"seeds: [0]\n---\nseeds: [1]\n", "expected a single document"),
    "open bracket": (b"seeds: [0\n", "expected ',' or ']'"),
    "colon in text": (b"title: a: b\n", "mapping values are not allowed here"),
    "NUL": (b"seeds: [0]\n# \x00\n", "special characters are not allowed"),
    "Latin-1": ("# café\nseeds: [0]\n".encode("latin-1"), "codec can't decode byte 0xe9"),
    "UTF-16": ("seeds: [0]\n".encode("utf-16"), "codec can't decode byte 0xff"),
    "deep nesting": (b"seeds: " + b"[" * 5000 + b"]" * 5000, "recursion"),
    "deep nesting in JSON": (b"[" * 100_000, "recursion"),
}


@pytest.mark.parametrize("what", FILES)
def test_file_that_reads_otherwise_than_it_looks_is_refused(what, tmp_path):
    content, words = FILES[what]
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        check_file(path)
    message = str(caught.value)
    assert str(path) in message and words in message and "what to do" in message


LAUGHS = "a: &x0 [0, 0, 0]\n" + "".join(
    f"{letter}: &x{number} [{', '.join([f'*x{number - 1}'] * 3)}]\n"
    for number, letter in enumerate("bcdefghijklmnopqrstuvwxyz", 1)
)
MERGES = "a: &x0 {k: 0}\n" + "".join(
    f"{letter}: &x{number} {{<<: [{', '.join([f'*x{number - 1}'] * 9)}]}}\n"
    for number, letter in enumerate("bcdefghijk", 1)
)


@pytest.mark.parametrize("text", [LAUGHS, MERGES], ids=["lists", "merges"])
def test_a_file_whose_aliases_explode_is_refused_quickly(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="more than 200000 values, aliases unfolded"):
        check_file(tmp_path / "config.yaml")
    assert time.perf_counter() - started < 5


def test_a_value_whose_aliases_explode_is_refused_quickly(tiny):
    value = 0
    for _ in range(18):
        value = [value] * 9
    tiny["models"]["small"]["architecture"]["x"] = value
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="more than 200000 values"):
        resolve(tiny)
    assert time.perf_counter() - started < 5


def test_a_long_value_is_cut_in_the_message(tiny):
    tiny["seeds"] = "x" * 10_000_000
    with pytest.raises(ConfigError) as caught:
        resolve(tiny)
    assert len(str(caught.value)) < 1000


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        check_file(tmp_path / "absent.yaml")


def test_shipped_and_plain_files_pass(root, tmp_path):
    for path in [*root.glob("config/**/*.yaml"), *root.glob("tests/config/*.yaml")]:
        check_file(path)
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfseeds: [0]\n")
    (tmp_path / "config.json").write_text('{"seeds":\n\t[0]}')
    check_file(tmp_path / "bom.yaml")
    check_file(tmp_path / "config.json")


def test_file_without_permission_to_read_is_refused(tiny, tmp_path, monkeypatch):
    tiny["tasks"]["demo"]["datasets"]["x"] = {"source": "file", "path": "rows.csv"}
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"x\.path: the file 'rows\.csv' may not be read"):
        resolve(tiny)


def test_folder_that_may_not_be_entered_is_no_traceback(tiny, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", path)

    tiny["tasks"]["demo"]["datasets"]["x"] = {"source": "file", "path": "closed/rows.csv"}
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(ConfigError, match=r"there is no file 'closed/rows\.csv'"):
        resolve(tiny)


# Properties: a valid configuration changed at a random place.

VALID = {
    "seeds": [0, 1],
    "tasks": {
        "demo": {
            "labels": ["yes", "no"],
            "metric": "macro_f1",
            "text": ["premise", "hypothesis"],
            "train": "train",
            "validation": "validation",
            "dev": ["r1_dev"],
            "evaluate": ["r1_test"],
            "datasets": {
                "train": {
                    "source": "demo",
                    "split": "train",
                    "rows": 9,
                    "label_names": {"0": "yes", "n": "no"},
                },
                "validation": {"source": "demo", "split": "validation", "rows": 9, "where": {"a": [1, "b"]}},
                "r1_dev": {"source": "demo", "split": "r1_dev", "rows": 9, "seed": 1, "max_rows": 5},
                "r1_test": {
                    "source": "hub",
                    "id": "org/name",
                    "name": "plain",
                    "revision": COMMIT,
                    "split": "test",
                    "uid": "id",
                },
            },
        }
    },
    "models": {
        "small": {
            "source": "scratch",
            "stands_for": "bert-tiny",
            "architecture": {"model_type": "bert", "layers": [1, {"a": 2.5}]},
            "tokenizer": {"kind": "bpe", "vocab_size": 300},
        },
        "large": {
            "source": "hub",
            "id": "org/name",
            "revision": COMMIT,
            "keep_layers": 2,
            "parameters_m": 4.4,
            "training": {"learning_rate": 1.0e-5, "steps": 7},
        },
    },
    "training": {"epochs": 3, "batch_size": 8, "precision": "float32", "checkpoints": 6},
    "early_stopping": {"patience": 2, "monitors": ["ood", "id"]},
    "selection": {"fraction": 0.5, "rule": "exact"},
    "statistics": {"resamples": 1000, "confidence": 0.9},
    "figures": {
        "overlap": {"all": ["small", "large"]},
        "hard_fraction": 0.1,
        "training_length": {"demo": {"main": "large", "references": ["small"], "steps": [3]}},
    },
    "checks": {"leakage": "warn"},
    "runtime": {"device": "cpu", "threads": 2},
    "tables": {
        "t": {
            "task": "demo",
            "title": "A table",
            "cost_of": "large",
            "rows": [
                {"method": "ERM", "main": "large", "section": "Baselines"},
                {
                    "method": "FTFT",
                    "main": "large",
                    "reference": "small",
                    "selector": "easy",
                    "fraction": 0.2,
                },
            ],
        }
    },
}
# Mappings whose keys are the user's own.
FREE = ("tasks", "models", "tables", "datasets", "overlap", "training_length", "label_names", "where")
UNHOLDABLE = [
    float("nan"), float("-inf"), datetime.date(2024, 1, 1), b"bytes", {1, 2}, (1, 2), object(), len, "\ud800"
]  # fmt: skip
ANYTHING = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from([*UNHOLDABLE, "../x", "1e-5", "a\nb", "x" * 300, "yes", 10**40]),
)


def places(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


PLACES = list(places(VALID))
KEYS = [place for place in PLACES if isinstance(place[-1], str) and not set(place[-2:-1]) & set(FREE)]
KNOWN_KEYS = [place for place in KEYS if "architecture" not in place[:-1] and place[-1] != "n"]
PROPERTY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parent_in(config, place):
    for key in place[:-1]:
        config = config[key]
    return config


def spelled(place):
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".")


def use(config):
    """Ask of a resolved configuration what Snakemake asks while it plans; all of it must be possible."""
    config = resolve(config)
    for task, entry in config.tasks.items():
        canonical_json([slices.check_slice(config, task), entry.development_sets])
        for dataset in entry.datasets:
            canonical_json(slices.dataset_slice(config, task, dataset)).encode()
        for model in config.models:
            canonical_json(slices.training_slice(config, task, model, budget="full")).encode()
            canonical_json(slices.encoder_slice(config, task, model)).encode()
    for name, table in config.tables.items():
        canonical_json(slices.table_slice(config, name)).encode()
        for run in plan.cost_runs(table, config):
            assert ".." not in run.path.split("/") and not run.path.startswith("/")
            if run.supervision != plan.ALL_DATA:
                assert plan.Supervision.parse(run.supervision).name == run.supervision
    canonical_json([slices.claims_slice(config), slices.patience_slice(config)]).encode()
    assert Configuration.model_validate(json.loads(json.dumps(config.dump()))) == config
    return config


def refusal(config):
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    return str(caught.value)


def test_the_configuration_to_change_is_valid():
    assert use(copy.deepcopy(VALID)).tables["t"].rows


@PROPERTY
@given(st.sampled_from(KNOWN_KEYS), st.text("abcdefgh_", min_size=1, max_size=3))
def test_a_renamed_key_is_named_with_its_place(place, suffix):
    config = copy.deepcopy(VALID)
    parent = parent_in(config, place)
    parent[place[-1] + suffix] = parent.pop(place[-1])
    message = refusal(config)
    assert f"{spelled(place[:-1]) or 'the configuration'}: unknown key '{place[-1] + suffix}'" in message


@PROPERTY
@given(st.sampled_from(PLACES), st.sampled_from(UNHOLDABLE))
def test_what_no_specification_holds_is_named_with_its_place(place, value):
    config = copy.deepcopy(VALID)
    parent_in(config, place)[place[-1]] = value
    assert f"{spelled(place)}: got " in refusal(config)


@PROPERTY
@given(st.sampled_from([place for place in PLACES if "architecture" not in place[:-1]]))
def test_a_mapping_or_list_in_place_of_another_kind_is_named_with_its_place(place):
    config = copy.deepcopy(VALID)
    parent = parent_in(config, place)
    parent[place[-1]] = [[]] if isinstance(parent[place[-1]], dict) else {"x": {}}
    assert f"- {spelled(place)}" in refusal(config)


@PROPERTY
@given(st.sampled_from(PLACES))
def test_a_dropped_entry_is_named_or_not_needed(place):
    config = copy.deepcopy(VALID)
    del parent_in(config, place)[place[-1]]
    try:
        use(config)
    except ConfigError as error:
        parent = spelled(place[:-1])
        assert parent in str(error) or f"'{place[-1]}'" in str(error)


@settings(PROPERTY, max_examples=300)
@given(st.data())
def test_any_change_is_refused_or_can_be_used(data):
    config = copy.deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(list(places(config))))
        parent = parent_in(config, place)
        if isinstance(parent, dict) and data.draw(st.booleans()):
            parent[data.draw(st.none() | st.integers(0, 9) | st.text(max_size=4))] = parent.pop(place[-1])
        else:
            parent[place[-1]] = data.draw(ANYTHING)
    try:
        use(config)
    except ConfigError as error:
        assert "fault" in str(error) and "what to do" in str(error)
