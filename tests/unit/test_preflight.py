import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from ftft.artifacts import write_json
from ftft.cartography.datamap import DataMap
from ftft.cartography.dynamics import Dynamics, save_dynamics
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError
from ftft.paper import roles as paper
from ftft.results.attribution import (
    Attribution,
    attribute,
    class_table,
    easy_by_class,
    matched_overlap,
    prefix_overlaps,
    traits,
    with_attribution,
)
from ftft.results.preflight import (
    Reference,
    build_preflight,
    cost_note,
    findings,
    measure,
    parameter_count,
    ranks,
)
from ftft.results.preflight_page import page, strips, write_preflight
from ftft.results.recorded import recorded_transfers
from ftft.tasks.base import kind_of

N = 100
PUBLISHED = paper.easy_shares_by_effect("50")
HOSTILE = '"><script>alert(1)</script> $task &amp;'


def spec(runs, pairs=(("large", "small"),), compared=("nli",), **changes):
    return {
        "task": "demo",
        "metric": "accuracy",
        "pairs": list(pairs),
        "runs": runs,
        "fraction": 0.33,
        "rule": "exact",
        "parameters_m": {"large": 304.0, "small": 44.0},
        "published": PUBLISHED,
        "recorded": recorded_transfers(),
        "compared": list(compared),
        "consumed_shares": [share for task in compared for share in paper.consumed_shares(task)],
        **changes,
    }


def data_map(easy, shift=0):
    """A map of 100 instances, `easy` of which are easy at q = 50 %.

    Rows 0 to 49 are hardest. Most variable are rows 0 to easy - 1 and 50 - easy of the others; `shift`
    rotates the order among them, and with it the 33 most variable.
    """
    variable = np.roll([*range(easy), *range(50, 100 - easy)], shift)
    variability = np.zeros(N)
    variability[variable] = np.linspace(0.5, 0.4, 50)
    return DataMap([f"u{row:03}" for row in range(N)], np.arange(N) / N, variability, np.zeros(N))


def ledger(accuracy=0.8):
    outcome = {"validation": {"accuracy": accuracy}, "floor": {"accuracy": 0.4}}
    return {"outcome": outcome, "cost": {}}


@pytest.fixture
def files(tmp_path):
    """Save maps and ledgers, one pair per run."""

    def save(runs):
        paths = [], []
        for number, (found, accuracy) in enumerate(runs):
            for kind, suffix in enumerate(("parquet", "json")):
                paths[kind].append(tmp_path / f"{number}.{suffix}")
            found.save(paths[0][-1], {})
            write_json(paths[1][-1], ledger(accuracy))
        return paths

    return save


def reference(easy=(47.0, 47.0), failed=0, between_seeds=0.7, with_others=0.6):
    easy = np.array(easy, float)
    return Reference(
        dict.fromkeys((0.1, 0.25, 0.33, 0.5), easy),
        np.full(len(easy), 0.8),
        0.4,
        failed,
        between_seeds,
        with_others,
    )


def attributed(classes=None):
    values = np.array([0.5, 0.5])
    shares = {name: np.array(own) for name, own in (classes or {}).items()}
    return Attribution(shares, {2: values, 3: values}, values, values, values)


def test_measures_by_hand(files):
    runs = [("small", 0), ("small", 1), ("base", 0), ("base", 1)]
    saved = files(
        [(data_map(40), 0.7), (data_map(44, shift=11), 0.8), (data_map(40), 0.9), (data_map(9), 0.4)]
    )
    small, base = measure(spec(runs), *saved).values()
    np.testing.assert_allclose(small.easy[0.50], [40, 44])
    assert small.easy_share == 42
    np.testing.assert_array_equal(small.scores, [0.7, 0.8])
    assert (small.floor, small.failed) == (0.4, 0)
    # The 33 of seed 0: rows 0 to 32. Those of seed 1: rows 95 and below up to 11 places ahead, then 0 to 21.
    assert small.between_seeds == pytest.approx(np.mean([row < 22 for row in range(33)]))
    # base's only good run is that of small's seed 0.
    assert small.with_others == pytest.approx((1 + 22 / 33) / 2)
    assert base.with_others == small.with_others
    assert base.failed == 1 and len(base.scores) == 1 and np.isnan(base.between_seeds)
    np.testing.assert_allclose(base.easy[0.50], [40])


def test_the_rates_are_those_of_table_4(files):
    # At q = 10 %: ten most variable rows 0 to 9, ten hardest rows 0 to 9.
    (found,) = measure(spec([("small", 0)]), *files([(data_map(40), 0.8)])).values()
    assert {rate: values.tolist() for rate, values in found.easy.items()} == {
        0.10: [pytest.approx(90)],
        0.25: [pytest.approx(75)],
        0.33: [pytest.approx(67)],
        0.50: [pytest.approx(40)],
    }


def test_failed_references_have_no_figures(files):
    (found,) = measure(
        spec([("small", 0), ("small", 1)]), *files([(data_map(47), 0.4), (data_map(47), 0.2)])
    ).values()
    assert found.failed == 2 and len(found.scores) == 0
    assert np.isnan([found.easy_share, found.between_seeds, found.with_others]).all()


def test_the_excess_is_over_what_independent_halves_leave():
    assert reference([47.0, 49.0]).excess == 48 - 25


def test_ranks_by_hand():
    values = {"a": 2.0, "b": 3.0, "c": 2.0, "d": float("nan")}
    assert ranks(values, most_first=True) == {"a": 2, "b": 1, "c": 2, "d": None}
    assert ranks(values, most_first=False) == {"a": 1, "b": 3, "c": 1, "d": None}


def test_findings_are_numbers_with_their_places():
    found = {"small": reference(failed=1), "base": reference([20.0]), "tiny": reference([], failed=2)}
    parameters = {"large": 304, "small": 44, "base": 86, "tiny": 4}
    table = build_preflight(spec([], [("large", name) for name in found]), found, parameters)
    assert table["reference"].tolist() == ["small", "base", "tiny"]
    small, base, tiny = (
        findings(row["reference"], found, row, 0.33, "accuracy") for row in table.to_dict("records")
    )
    assert small == [
        "47.00 % of the instances are easy, 22.00 points more than if the most ambiguous and the hardest "
        "half were independent (place 1 of 3)",
        "two of its runs share 70 % of their ambiguous instances, where 33 % is chance (place 1 of 3)",
        "accuracy 80.00 in distribution, where the trivial answer has 40.00 (place 1 of 3)",
        "1 of 3 runs did no better than the trivial answer",
    ]
    assert base[0].startswith("20.00 % of the instances are easy, 5.00 points fewer")
    assert base[1] == "how far seeds agree is not known from one run"
    assert tiny == ["none of its 2 runs did better than the trivial answer: do not use its data map"]
    assert table["rank_cost"].tolist() == [2, 3, 1]


def test_expected_costs_are_those_of_the_papers_ftft():
    parameters = {"large": 304, "small": 44}
    table = build_preflight(spec([]), {"small": reference()}, parameters)
    # Table 1, FTFT with DeBERTaV3-Small: 51.97. A main run that never stops costs 14.47 + 100.
    assert table[["cost_low", "cost_high"]].round(2).to_numpy().tolist() == [[51.97, 114.47]]
    table = build_preflight(spec([], compared=["hsd"]), {"small": reference()}, parameters)
    assert table["cost_low"].round(2).tolist() == [78.36]
    assert table["parameter_ratio"].tolist() == [44 / 304]


def test_consumed_shares_are_those_of_the_ftft_rows():
    # 4.50, 5.50 and 5.25 of 12 checkpoints; 5.75, 7.00 and 6.50 of 9.
    assert paper.consumed_shares("nli") == [4.5 / 12, 5.5 / 12, 5.25 / 12]
    assert paper.consumed_shares("hsd") == [5.75 / 9, 7 / 9, 6.5 / 9]


def test_what_does_not_pay_is_said():
    assert cost_note(0.1447, 51.97, 114.47) == (
        "FTFT costs 52 to 114 % of ERM, DM 114 %; FTFT pays if the main run stops before 86 % of its length"
    )
    assert cost_note(0.62, 100.0, 162.0) == "FTFT does not pay: it costs 100 to 162 % of ERM"


def test_a_row_per_pair_the_most_easy_instances_first():
    pairs = [("large", "base"), ("large", "small"), ("other", "small")]
    parameters = {"large": 4.0, "other": 2.0, "base": 2.0, "small": 1.0}
    found = {"base": reference([30.0, 34.0]), "small": reference(failed=1)}
    table = build_preflight(spec([], pairs), found, parameters)
    # By their easy shares: 47 of small, 32 of base.
    assert list(zip(table["main"], table["reference"], strict=True)) == [*pairs[1:], pairs[0]]
    assert table["parameter_ratio"].tolist() == [0.25, 0.5, 0.5]
    first = table.iloc[2]
    assert (first["easy_50"], first["runs"], first["failed"]) == (32.0, 2, 0)
    assert first["easy_50_std"] == pytest.approx(8**0.5)
    assert first["cost_note"].startswith("FTFT costs 88 to 150 % of ERM")


def test_parameters_are_counted_from_the_header(tmp_path):
    shapes = {
        "embeddings.word_embeddings.weight": (50, 4),
        "embeddings.position_embeddings.weight": (8, 4),
        "encoder.layer.0.weight": (50, 3),
        "encoder.layer.0.bias": (3,),
        "pooler.dense.weight": (4, 4),
    }
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors")
    write_json(tmp_path / "config.json", {"vocab_size": 50})
    assert parameter_count(tmp_path) == 32 + 150 + 3


def test_the_count_is_that_of_the_ledgers_without_the_head(encoder):
    from transformers import AutoModelForSequenceClassification

    from ftft.models.heads import parameter_counts

    model = AutoModelForSequenceClassification.from_pretrained(encoder)
    head = [*model.classifier.parameters(), *model.bert.pooler.parameters()]
    whole = parameter_counts(model)["without_embeddings"]
    assert parameter_count(encoder) == whole - sum(parameter.numel() for parameter in head)


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{", b"\xff" * 8 + b"{}", b"\2\0\0\0\0\0\0\0[]"])
def test_torn_weights_are_explained(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    write_json(tmp_path / "config.json", {"vocab_size": 50})
    with pytest.raises(
        ArtifactError, match=r"model\.safetensors cannot be read[\s\S]*safetensors[\s\S]*delete it"
    ):
        parameter_count(tmp_path)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_names_as_text_and_loads_nothing():
    found = {HOSTILE: reference(), "small": reference([], failed=2)}
    names = spec([], [("<b>large</b>", HOSTILE), ("<b>large</b>", "small")], task=HOSTILE)
    attributions = {name: attributed({HOSTILE: [30.0]}) for name in found}
    table = build_preflight(names, found, {"<b>large</b>": 2.0, HOSTILE: 1.0, "small": 1.0})
    text = page(names, found, with_attribution(table, attributions), attributions)
    seen = Elements(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in seen.tags}
    assert not [
        key
        for _, attributes in seen.tags
        for key in attributes
        if key.startswith("on") or key in ("style", "src", "href")
    ]
    assert f"Preflight: {HOSTILE}" in seen.text and "<b>large</b>: FTFT costs 88 to 150 %" in seen.text
    labels = [
        attributes["aria-label"]
        for tag, attributes in seen.tags
        if tag == "svg" and "aria-label" in attributes
    ]
    assert labels[-2:] == ["one run 47.00 %, one run 47.00 %, mean 47.00 %", "no run"]
    assert "default-src 'none'" in text
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in text


def test_a_card_per_reference_the_best_first():
    pairs = [("large", "poor"), ("large", "good"), ("other", "good"), ("large", "fair")]
    found = {"poor": reference([20.0, 20.0]), "good": reference(), "fair": reference([40.0, 40.0])}
    parameters = {"large": 4.0, "other": 1.0, "poor": 1.0, "good": 1.0, "fair": 1.0}
    attributions = {name: attributed() for name in found}
    table = with_attribution(build_preflight(spec([], pairs), found, parameters), attributions)
    text = page(spec([], pairs), found, table, attributions)
    assert re.findall(r'<li><h3 dir="auto">(\w+)</h3>', text) == ["good", "fair", "poor"]
    assert not {"promising", "doubtful"} & set(re.findall(r"\w+", text))
    costs = re.findall(r'<span dir="auto">(\w+)</span>: (FTFT .*?) %', text)
    assert costs[:2] == [
        ("large", "FTFT costs 62 to 125"),
        ("other", "FTFT does not pay: it costs 138 to 200"),
    ]


def test_marks_stand_where_their_shares_are():
    found = {"small": reference([30.0, 50.0])}
    text = strips(PUBLISHED, found)
    own = next(strip for strip in text.split('class="strip"') if '<span dir="auto">small</span>' in strip)
    # The axis begins at 10 %: below the least of all shares, TinyBERT's 19.60 on NLI.
    assert [float(x) for x in re.findall(r'<line class="run" x1="([\d.]+)%"', own)] == [50.0, 100.0]
    assert re.findall(r'<svg x="([\d.]+)%"', own) == ["75.00"]


@pytest.fixture
def recorded_run(tmp_path, files):
    """Data of two classes with their dynamics over four epochs, a map and a ledger for each of two runs."""
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 4 // 3
    texts = (["word " * (1 + row % 7) for row in range(N)],)
    dataset = Dataset([f"u{row:03}" for row in range(N)], texts, labels, ["common", "rare"])
    dataset.save(tmp_path / "train.parquet")
    dataset = Dataset.load(tmp_path / "train.parquet")
    kind, dynamics = kind_of("classification"), []
    for seed in range(2):
        dynamics.append(tmp_path / f"dynamics{seed}.parquet")
        epochs = [generator.normal(size=(N, 2)).astype(np.float32) for _ in range(4)]
        save_dynamics(dynamics[-1], kind, epochs, dataset, {})
    return dynamics, tmp_path / "train.parquet", dataset


@pytest.mark.parametrize("counted", [False, True])
def test_the_whole_step(files, tmp_path, encoder, counted, recorded_run):
    saved = files([(data_map(47), 0.8), (data_map(47), 0.8)])
    outputs = {name: tmp_path / f"preflight.{name}" for name in ("csv", "classes", "page")}
    folders = {"large": encoder, "small": encoder} if counted else {}
    write_preflight(spec([("small", 0), ("small", 1)]), *saved, *recorded_run[:2], folders, outputs)
    table = pd.read_csv(outputs["csv"])
    assert table["rank_easy"].tolist() == table["rank_half"].tolist() == [1]
    assert table["half_epochs"].tolist() == [2] and 0 < table["overlap_half"].item() < 1
    assert table["parameter_ratio"].tolist() == [1.0 if counted else 0.1447]
    classes = pd.read_csv(outputs["classes"])
    assert classes["class"].tolist() == ["common", "rare"] and classes["runs"].tolist() == [2, 2]
    text = outputs["page"].read_text()
    assert '<li><h3 dir="auto">small</h3>' in text and "Its first 2 epochs give" in text
    assert "<b>No verdict.</b>" in text and "expect the transfer" not in text


def test_a_failed_run_has_no_part_in_an_attribution(files, recorded_run):
    dynamics, train, _ = recorded_run
    _, ledgers = files([(data_map(47), 0.8), (data_map(47), 0.2)])
    (found,) = attribute(spec([("small", 0), ("small", 1)]), dynamics, ledgers, train).values()
    assert len(found.longest) == len(found.classes["rare"]) == len(found.prefixes[3]) == 1
    (none,) = attribute(spec([("small", 0)]), dynamics[:1], ledgers[1:], train).values()
    assert none.half is None and traits(none, {}, 1) == []
    table = build_preflight(spec([]), {"small": reference([], failed=1)}, {"large": 304, "small": 44})
    assert pd.isna(with_attribution(table, {"small": none})["overlap_half"].item())


def test_easy_instances_of_a_class_are_those_of_its_own_halves():
    # Of 40 rare rows, the 20 hardest are the 20 most variable: half are easy. Of the common ones none is.
    rare = np.arange(N) < 40
    variability = np.where(rare, -np.arange(N), np.arange(N)) / 1000.0
    data_map_ = DataMap([f"u{row:03}" for row in range(N)], np.arange(N) / N, variability, np.zeros(N))
    shares = easy_by_class(data_map_, np.where(rare, 1, 0), ["common", "rare", "absent"])
    assert shares == {"common": pytest.approx(0), "rare": pytest.approx(50)}
    table = class_table({"small": attributed({"rare": [50.0, 40.0]})})
    assert table.iloc[0].tolist() == ["small", "rare", 45.0, 20.0, 2]


def test_what_prefixes_share_with_all_epochs():
    # Rows 0 to 32 move in the first two epochs, rows 33 to 65 in the third alone and by more.
    p_true = np.zeros((3, N), np.float32)
    p_true[0, :33], p_true[2, 33:66] = 0.5, 1.0
    dynamics = Dynamics([f"u{row:03}" for row in range(N)], p_true, p_true > 0.5)
    whole = np.arange(33, 66)
    assert prefix_overlaps(dynamics, whole, 0.33, "exact") == {2: 0.0}
    assert prefix_overlaps(dynamics, np.arange(33), 0.33, "exact") == {2: 1.0}


def test_what_matched_random_rows_share_on_average():
    # Of cell 0, 3 of 4 rows; of cell 1, 1 of 4: 9/4 and 1/4 of 4 are expected in both.
    cells, rows = np.repeat([0, 1], 4), np.array([0, 1, 2, 5])
    assert matched_overlap(rows, cells) == pytest.approx(2.5 / 4)
    generator = np.random.default_rng(0)
    drawn = [
        np.isin(np.concatenate([generator.permutation(4)[:3], 4 + generator.permutation(4)[:1]]), rows).mean()
        for _ in range(4000)
    ]
    assert np.mean(drawn) == pytest.approx(2.5 / 4, abs=0.01)


def test_half_of_the_epochs_is_rounded_up():
    values = np.array([0.4])
    assert Attribution(prefixes={2: values}).half == (2, 0.4)
    assert Attribution(prefixes={2: values, 3: values, 4: 2 * values}).half == (3, 0.4)
