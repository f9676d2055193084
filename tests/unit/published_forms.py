"""Data sets written in the form in which they are published: columns, quoting, spelling of labels.

Rows are mappings with uid, label (the task's name for it), text or premise and hypothesis, and what
else a form wants: round, level, split, labels.
"""

import csv
import json
import re
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ftft.artifacts import write_parquet
from ftft.paper.cad import SPLITS

NLI = ["entailment", "neutral", "contradiction"]
HSD = ["not_hateful", "hateful"]
LEVELS = ("original", "perturbation")
HUB_SPLITS = {
    "nyu-mll/glue": ["train", "validation_matched", "validation_mismatched"],
    "facebook/anli": [f"{split}_r{number}" for split in ("train", "dev", "test") for number in (1, 2, 3)],
}
HUB_UIDS = {"nyu-mll/glue": "idx", "facebook/anli": "uid"}
ROWS = 12  # of each made-up part

GLUE_HEADER = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\t{annotators}\tgold_label\n"
)
DYNAHATE_HEADER = (
    ",acl.id,X1,text,label,type,target,level,split,round.base,annotator,round,acl.id.matched\r\n"
)
CAD_HEADER = (
    "id\tinfo_id\tinfo_subreddit\tinfo_subreddit_id\tinfo_id.parent\tinfo_id.link\tinfo_thread.id\t"
    "info_order\tinfo_image.saved\tannotation_Primary\tannotation_Secondary\tannotation_Target\t"
    "annotation_Target_top.level.category\tannotation_highlighted\tannotation_Context\tmeta_author\t"
    "meta_created_utc\tmeta_date\tmeta_day\tmeta_permalink\tsplit\tsubreddit_seen\tmeta_text\n"
)


def write_glue(path, rows):
    """MNLI's TSV of GLUE, without quoting."""
    annotators = ["label1"] if "train" in path.name else [f"label{number}" for number in range(1, 6)]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(GLUE_HEADER.format(annotators="\t".join(annotators)))
        for index, row in enumerate(rows):
            cells = [
                index,
                1,
                f"1{row['label'][0]}",
                "fiction",
                *["( a )"] * 4,
                row["premise"],
                row["hypothesis"],
            ]
            file.write("\t".join(map(str, [*cells, *[row["label"]] * (len(annotators) + 1)])) + "\n")


def write_anli(path, rows):
    """ANLI's JSON lines."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            record = {"uid": row["uid"], "context": row["premise"], "hypothesis": row["hypothesis"]}
            record |= {"label": row["label"][0], "model_label": "n", "emturk": False, "genre": "wikipedia"}
            file.write(json.dumps({**record, "reason": "", "tag": None}) + "\n")


def write_dynahate(path, rows):
    """DynaHate's one CSV."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(DYNAHATE_HEADER)
        writer = csv.writer(file)
        for number, row in enumerate(rows, 1):
            label = {"hateful": "hate", "not_hateful": "nothate"}[row["label"]]
            letter = {"original": "a", "perturbation": "b"}[row["level"]] if row["round"] != "1" else ""
            where = [row["level"], row["split"], row["round"], "abc", row["round"] + letter, "acl1"]
            writer.writerow([number, row["uid"], number, row["text"], label, "none", "none", *where])


def write_cad(path, rows):
    """CAD's TSV, without quoting: a line per label of a post."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(CAD_HEADER)
        annotations = [(row, label) for row in rows for label in row["labels"].split(",")]
        for number, (row, label) in enumerate(annotations, 1):
            context = {"Neutral": '"NA"', "CounterSpeech": "PreviousContent"}.get(label, "CurrentContent")
            info = [f"cad_{number}", row["uid"], *["NA"] * 6, "0", label, *['"NA"'] * 4, context]
            file.write("\t".join([*info, *["NA"] * 5, row["split"], "1", row["text"]]) + "\n")


def belonging(part, labels, oddity='"'):
    """Made-up rows whose texts say which part of the data they are and what their label is."""
    for number in range(ROWS):
        label = labels[number % len(labels)]
        text = f"{oddity if number % 3 == 0 else ''}{part}, row {number} means {label}"
        yield {"uid": f"{part}-{number}", "label": label, "text": text, "premise": text, "hypothesis": text}


def _dynahate_rows():
    for number, level, split in product("1234", LEVELS, ("train", "dev", "test")):
        for row in belonging(f"r{number} {level} {split}", HSD, oddity='"two,\nlines" '):
            yield {**row, "round": number, "level": level, "split": split}


def _cad_rows():
    labels = {"hateful": "IdentityDirectedAbuse,PersonDirectedAbuse", "not_hateful": "Neutral"}
    for split, number in product(SPLITS.values(), range(10)):
        for row in belonging(f"{split} {number}", HSD):
            yield {**row, "labels": labels[row["label"]], "split": split}
    yield {"uid": "excluded", "text": "by a bot", "labels": "Neutral", "split": "exclude_bot"}
    yield {"uid": "empty", "text": "", "labels": "Neutral", "split": "train"}


def _write_hub(path, spec):
    assert spec["split"] in HUB_SPLITS[spec["id"]] and re.fullmatch(r"[0-9a-f]{40}", spec["revision"])
    rows = enumerate(belonging(f"hub {spec['split']}", NLI))
    numbered = [{**row, "idx": number, "label": NLI.index(row["label"])} for number, row in rows]
    columns = ["premise", "hypothesis", "label", HUB_UIDS[spec["id"]]]
    write_parquet(path, pa.Table.from_pylist(numbered).select(columns), {})


def make_up(name, spec):
    """Write the file that a data set reads, in its published form if it is one of the above; its path."""
    path = Path(spec.get("path", f"downloads/{name}.parquet"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if spec["source"] == "hub":
        _write_hub(path, spec)
    elif spec["source"] == "cad":
        write_cad(path, _cad_rows())
    elif path.name == "dynahate.csv":
        write_dynahate(path, _dynahate_rows())
    elif found := re.search(r"MNLI/(train|dev)\w*\.tsv$", str(path)):
        write_glue(path, belonging({"train": "train", "dev": "validation"}[found[1]], NLI))
    elif found := re.search(r"anli_v1\.0/R(\d)/(dev|test)\.jsonl$", str(path)):
        write_anli(path, belonging(f"r{found[1]} {found[2]}", NLI, oddity="two\nlines "))
    elif spec["source"] == "file":
        assert path.suffix == ".parquet"
        pq.write_table(pa.Table.from_pylist(list(belonging(path.stem, spec["labels"]))), path)
    return path
