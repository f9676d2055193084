"""Figures: what they compute, and that every one is legible, in grey too, and made of its CSV file alone."""

import os
import subprocess
import sys
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

from ftft.cartography.datamap import DataMap, build_map
from ftft.cartography.selection import select_region
from ftft.errors import DataError
from ftft.results.figures import data_map, learning_curves, overlap, style, training_length, true_class

LONG = "standin-deberta-v3-large"
MODELS = ["tinybert", "electra-small", "electra-base", "deberta-v3-small", "deberta-v3-base"]
MODELS += ["deberta-v3-large", "bert-large-uncased", "roberta-large", LONG]
METHODS = [("ERM", None), ("DM", "random"), *(("DM", model) for model in MODELS), ("FTFT", LONG)]
SETS = [
    "validation",
    "Ori-R2",
    "Ori-R3",
    "dynahate_original_round_4_perturbations",
    "Pert-R2",
    "Pert-R3",
    "Pert-R4",
]
TITLE = "The title of a figure"


def reference(seed, instances=300, epochs=4, capability=0.8):
    """p_true [epochs, n] that rises with the epochs, sooner for easy instances, and its data map."""
    random = np.random.default_rng(seed)
    difficulty = np.random.default_rng(99).beta(1.1, 2.6, instances) + random.normal(0, 0.1, instances)
    time = np.linspace(0.2, 1, epochs)[:, None]
    logit = 6 * capability * time - 8 * difficulty * (1.3 - capability * time) + 1
    p_true = 1 / (1 + np.exp(random.normal(0, 0.5, logit.shape) - logit))
    logits = np.stack([np.log1p(-p_true), np.log(p_true)], axis=-1)
    uids = [f"u{row}" for row in range(instances)]
    return p_true, build_map(p_true, logits, np.ones(instances, int), uids)


def overlaps(models, seeds):
    selections = {
        (model, seed): select_region(reference(100 * MODELS.index(model) + seed)[1], "ambiguous", 0.33)
        for model in models
        for seed in range(seeds)
    }
    return overlap.overlap_frame(selections, 0.33)


def medians(models, seeds, epochs=4):
    runs = [
        (model, seed, *reference(seed, epochs=epochs, capability=0.3 + 0.06 * rank))
        for rank, model in enumerate(models)
        for seed in range(seeds)
    ]
    return true_class.true_class_frame(runs, 0.1)


def lengths(methods, datasets, seeds=3):
    random = np.random.default_rng(0)
    rows = [
        (method, name, steps, seed, dataset, 0.8 - 80 * (rank + 1) / steps + random.normal(0, 0.01))
        for rank, (method, name) in enumerate(methods)
        for steps in (9820, 24540, 49088)
        for seed in range(seeds)
        for dataset in datasets
    ]
    runs = pd.DataFrame(rows, columns=["method", "reference", "steps", "seed", "dataset", "value"])
    runs.loc[runs["steps"].eq(24540) & runs["seed"].eq(2), "value"] = np.nan
    return training_length.training_length_frame(runs)


def curves(labels, seeds=4):
    random = np.random.default_rng(0)
    rows, stops = [], []
    for label in labels:
        for seed in range(seeds):
            length = 12 if label.startswith("ERM") else 4 + seed
            scores = 0.6 - 0.2 / np.arange(1, length + 1) + random.normal(0, 0.01, length)
            rows += [(label, seed, 4090 * (place + 1), score) for place, score in enumerate(scores)]
            if length < 12:
                stops.append((label, seed, 4090 * length, 4090 * (length - 2)))
    rows += [(labels[0], seeds, 4090, np.nan)]
    return learning_curves.curve_frame(
        pd.DataFrame(rows, columns=["label", "seed", "step", "score"]),
        pd.DataFrame(stops, columns=["label", "seed", "stop_step", "kept_step"]),
    )


def flat_map(confidence, variability):
    """A map of 100 instances of about one confidence and variability: borders close to a corner."""
    spread, correctness = np.linspace(0, 1e-3, 100), np.repeat([0.0, 1.0], 50)
    uids = [f"u{row}" for row in range(100)]
    return DataMap(uids, confidence + spread, variability + spread, correctness)


CURVES = ["ERM", "ERM(ES)", "DM: random", *(f"FTFT: {model}" for model in reversed(MODELS))]
LEFT_OUT = {"left_out": ["tinybert, seed 3", f"{LONG}, seed 0"]}
NLI = {"metric": "accuracy", "full_length": 49088}
HSD = {"metric": "macro_f1", "full_length": 49088}
# Per figure: its data, and how to draw them.
FIGURES = {
    "overlap 1": lambda: (overlaps([LONG], 1), overlap.draw, {}),
    "overlap 2": lambda: (overlaps(["tinybert", LONG], 1), overlap.draw, {}),
    "overlap 12": lambda: (overlaps(MODELS[3:6], 4), overlap.draw, LEFT_OUT),
    "overlap 36": lambda: (overlaps(MODELS, 4), overlap.draw, LEFT_OUT),
    "mean overlap 2": lambda: (overlap.average_over_seeds(overlaps(MODELS[:2], 1)), overlap.draw, LEFT_OUT),
    "mean overlap 9": lambda: (overlap.average_over_seeds(overlaps(MODELS, 2)), overlap.draw, {}),
    "true class 1": lambda: (medians([LONG], 1, epochs=2), true_class.draw, {}),
    "true class 2": lambda: (medians(MODELS[:2], 2), true_class.draw, LEFT_OUT),
    "true class 9": lambda: (medians(MODELS, 3, epochs=12), true_class.draw, {}),
    "length 1": lambda: (lengths(METHODS[:3], SETS[:1]), training_length.draw, NLI),
    "length 4": lambda: (lengths(METHODS, SETS[:4]), training_length.draw, NLI),
    "length 7": lambda: (lengths(METHODS[:4], SETS), training_length.draw, HSD),
    "curves 1": lambda: (curves(CURVES[3:4]), learning_curves.draw, {"metric": "accuracy"}),
    "curves 12": lambda: (curves(CURVES), learning_curves.draw, {"metric": "macro_f1"}),
    "map": lambda: (data_map.map_frame(reference(0, capability=0.6)[1], 0.33), data_map.draw, {}),
    "map, ten epochs": lambda: (data_map.map_frame(reference(0, 300, 10, 0.5)[1], 0.1), data_map.draw, {}),
    "map, all sure": lambda: (data_map.map_frame(flat_map(0.998, 0), 0.33), data_map.draw, {}),
    "map, all wrong": lambda: (data_map.map_frame(flat_map(0, 0.499), 0.33), data_map.draw, {}),
}
ONE_OF_EACH = ["overlap 2", "mean overlap 2", "true class 2", "length 1", "curves 1", "map"]
BESIDE_DATA = [name for name in FIGURES if "overlap" not in name]


def figure_of(name):
    frame, draw, options = FIGURES[name]()
    return draw(frame, TITLE, **options)


def write(name, folder):
    """Save a figure; returns its files by form."""
    frame, draw, options = FIGURES[name]()
    outputs = {form: Path(folder) / f"{name}.{form}" for form in ("svg", "png", "csv")}
    style.save(draw(frame, TITLE, **options), frame, outputs)
    return outputs


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of one figure of each kind, by name and form."""
    folder = tmp_path_factory.mktemp("figures")
    return {name: write(name, folder) for name in ONE_OF_EACH}


@cache
def drawn(name):
    """A figure, and the boxes in pixels of the texts that drawing it puts on the canvas."""
    figure, texts, draw = figure_of(name), {}, Text.draw

    def remember(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts[text] = None
        draw(text, renderer)

    with style.look(), patch.object(Text, "draw", remember):
        figure.canvas.draw()
    return figure, {text: text.get_window_extent() for text in texts}


def meet(a, b):
    """Whether two boxes share more than a pixel's seam."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


def paragraph(figure):
    return figure.texts[1].get_text().replace("\n", " ")


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_covers_another_or_leaves_the_canvas(name):
    figure, texts = drawn(name)
    assert len(texts) > 8
    assert [(a.get_text(), b.get_text()) for a, b in combinations(texts, 2) if meet(texts[a], texts[b])] == []
    width, height = figure.bbox.size
    outside = [
        text.get_text()
        for text, box in texts.items()
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]
    assert outside == []


@pytest.mark.parametrize("name", BESIDE_DATA)
def test_no_text_or_legend_covers_data(name):
    figure, texts = drawn(name)
    panels = [axes.get_window_extent() for axes in figure.axes]
    boxes = [(text.get_text(), box) for text, box in texts.items()]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    assert [text for text, box in boxes if any(meet(box, panel) for panel in panels)] == []


def test_every_column_of_panels_has_one_axis_and_no_panel_is_empty():
    figure, texts = drawn("length 7")
    words = [text.get_text() for text in texts]
    assert words.count("15,000") == words.count("length (optimiser steps)") == 4
    assert words.count("macro-F1 (%)") == 2
    assert len(figure.axes) == 7


def test_the_axes_of_a_map_are_labelled_once_and_its_borders_beside_it():
    figure, texts = drawn("map, all wrong")
    words = [text.get_text() for text in texts]
    assert words.count("0.8") == words.count("0.3") == 1
    (name,) = (box for text, box in texts.items() if text.get_text() == "ambiguous →")
    assert name.x1 < figure.axes[1].get_window_extent().x1 + 1


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_figure_is_made_of_its_csv_file_alone(name, written, tmp_path):
    _, draw, options = FIGURES[name]()
    frame = pd.read_csv(written[name]["csv"])
    copies = {form: tmp_path / form for form in written[name]}
    style.save(draw(frame, TITLE, **options), frame, copies)
    for form, path in copies.items():
        assert path.read_bytes() == written[name][form].read_bytes(), form


def test_other_processes_and_settings_write_the_same_bytes(written, tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: none\naxes.facecolor: red\n")
    code = (
        "import sys, conftest, test_figures as t; [t.write(name, sys.argv[1]) for name in t.ONE_OF_EACH]; "
        "print(sys.modules.keys() & {'torch', 'matplotlib.pyplot'})"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2][::-1]),
        "PYTHONHASHSEED": "7",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "DISPLAY": "",
    }
    command = [sys.executable, "-c", code, str(tmp_path)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert made.stdout == "set()\n", made.stderr
    for path in (path for files in written.values() for path in files.values()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_letters_are_shapes_in_svg_and_need_no_font(written):
    svg = written["curves 1"]["svg"].read_text(encoding="utf-8")
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<text" not in svg and "font-family" not in svg and "<dc:date>" not in svg


def luminance(colour):
    return float(np.dot(to_rgb(colour), style.LUMINANCE))


def test_series_differ_without_colour():
    kinds = [(str(kind["linestyle"]), kind["marker"]) for kind in map(style.series, range(60))]
    assert len(set(kinds)) == 60
    for a, b in combinations(map(style.series, range(12)), 2):
        assert a["marker"] != b["marker"]


def test_kept_checkpoints_and_stops_differ_without_colour():
    assert learning_curves.KEPT_MARK["marker"] != learning_curves.STOP_MARK["marker"]
    own, others = learning_curves.MEAN_LINE["color"], learning_curves.OTHER_LINE["color"]
    assert abs(luminance(own) - luminance(others)) > 0.3


def test_the_heat_map_is_lighter_where_more_is_shared():
    mesh = figure_of("overlap 12").axes[0].collections[0]
    low, high = mesh.get_clim()
    shades = [luminance(mesh.to_rgba(value)[:3]) for value in np.linspace(low, high, 50)]
    assert all(a < b for a, b in pairwise(shades))


@pytest.mark.parametrize(("name", "levels"), [("map", 5), ("map, ten epochs", 6)])
def test_points_are_lighter_the_more_often_they_were_correct_and_have_a_marker_per_level(name, levels):
    points, _, _, key = figure_of(name).axes
    marks = [(line.get_color(), line.get_marker()) for line in key.lines]
    assert len(marks) == len({marker for _, marker in marks}) == len(points.collections) == levels
    shades = [luminance(colour) for colour, _ in marks]
    assert all(b - a > 0.05 for a, b in pairwise(shades)) and shades[-1] < 0.8


def test_many_levels_of_correctness_are_rounded_up_to_fifths():
    shares = np.arange(11) / 10
    part = DataMap([f"u{row}" for row in range(11)], shares, shares / 2, shares)
    key = data_map.draw(data_map.map_frame(part, 0.5), TITLE).axes[3]
    assert [label.get_text() for label in key.get_xticklabels()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [bar.get_height() for bar in key.patches] == pytest.approx([100 / 11, *[200 / 11] * 5])
    assert key.get_title("left") == "correctness, up to"


def test_overlap_is_listed_by_model_and_seed():
    selections = {("b", 1): [0, 1], ("a", 0): [1, 2], ("b", 0): [4, 5]}
    frame = overlap.overlap_frame(selections, 0.2)
    assert frame.columns.tolist() == ["model_a", "seed_a", "model_b", "seed_b", "overlap", "chance"]
    assert frame[["model_b", "seed_b"]].to_numpy().tolist() == [["b", 0], ["b", 1], ["a", 0]] * 3
    assert frame["overlap"].tolist() == [1, 0, 0, 0, 1, 0.5, 0, 0.5, 1]
    assert frame["chance"].eq(0.2).all()


def test_means_over_seeds_leave_out_a_selection_and_itself():
    selections = {
        ("a", 0): [0, 1, 2, 3],
        ("a", 1): [0, 1, 2, 4],
        ("a", 2): [0, 1, 5, 6],
        ("b", 0): [0, 7, 8, 9],
    }
    frame = overlap.average_over_seeds(overlap.overlap_frame(selections, 0.4))
    # Within a: 3/4, 2/4, 2/4; each of a shares one of four with b.
    assert frame["model_a"].tolist() == ["a", "a", "b", "b"]
    assert frame["overlap"].tolist()[:3] == [pytest.approx(7 / 12), 0.25, 0.25]
    assert np.isnan(frame["overlap"].iloc[3])
    assert frame["pairs"].tolist() == [3, 3, 3, 0]


def test_a_heat_map_shows_every_value_where_it_belongs():
    frame = overlaps(MODELS[3:6], 2)
    axes, bar = overlap.draw(frame, TITLE).axes
    # From top to bottom, then from left to right, as on the canvas.
    places = {text: axes.transData.transform(text.get_position()).round() for text in axes.texts}
    in_order = sorted(places, key=lambda text: (-places[text][1], places[text][0]))
    numbers = np.array([float(text.get_text()) for text in in_order]).reshape(6, 6)
    expected = frame["overlap"].to_numpy().reshape(6, 6)
    np.testing.assert_allclose(numbers, expected, atol=0.005)
    off_diagonal = ~np.eye(6, dtype=bool)
    values = axes.collections[0].get_array()
    np.testing.assert_array_equal(values.mask, ~off_diagonal)
    np.testing.assert_array_equal(values.data[off_diagonal], expected[off_diagonal])
    assert "0.33 chance" in [text.get_text() for text in bar.get_yticklabels()]
    assert {line.get_ydata()[0] for line in bar.lines} == {0.33}


@pytest.mark.parametrize(("name", "models", "seeds"), [("overlap 2", 2, 1), ("overlap 36", 9, 4)])
def test_rows_and_columns_name_their_model_and_seed(name, models, seeds):
    words = [text.get_text() for text in drawn(name)[1]]
    assert [words.count(model) for model in (MODELS[0], LONG)] == [2, 2]
    assert [words.count(str(seed)) for seed in range(seeds)] == [2 * models] * seeds


@pytest.mark.parametrize(("models", "written"), [(9, True), (12, False)])
def test_numbers_are_written_where_they_fit(models, written):
    rows = {(f"m{model}", seed): [model, 100 + seed] for model in range(models) for seed in range(4)}
    axes = overlap.draw(overlap.overlap_frame(rows, 0.33), TITLE).axes[0]
    assert bool(axes.texts) == written


def test_medians_separate_hard_to_learn_instances_from_others():
    # Confidence: .15, .25, .7, .75, .85; 40 % of five are the first two.
    p_true = np.array([[0.1, 0.2, 0.6, 0.7, 0.9], [0.2, 0.3, 0.8, 0.8, 0.8]])
    uids = list("abcde")
    own_map = DataMap(uids, p_true.mean(0), p_true.std(0), np.zeros(5))
    frame = true_class.median_by_epoch(p_true, own_map, 0.4)
    assert frame.to_dict("list") == {
        "group": ["hard-to-learn"] * 2 + ["other"] * 2,
        "epoch": [1, 2, 1, 2],
        "median": pytest.approx([0.15, 0.25, 0.7, 0.8]),
    }
    runs = [("m", seed, shift + p_true, own_map) for seed, shift in enumerate((0.0, 0.02, 0.1))]
    first = true_class.true_class_frame(runs, 0.4).iloc[0]
    assert (first["mean"], first["low"], first["high"]) == pytest.approx((0.19, 0.15, 0.25))
    assert first["runs"] == 3


def test_medians_are_drawn_as_they_are_listed():
    frame = medians(MODELS[:2], 2)
    for panel, model in zip(true_class.draw(frame, TITLE).axes, MODELS[:2], strict=True):
        assert panel.get_title("left") == model
        part = frame[frame["model"] == model]
        np.testing.assert_array_equal(
            np.concatenate([line.get_ydata() for line in panel.lines]), part["mean"]
        )
        bands = np.concatenate([band.get_paths()[0].vertices[:, 1] for band in panel.collections])
        assert set(part["low"]) | set(part["high"]) == set(bands)


def test_training_length_shows_mean_and_deviation_without_failed_runs():
    rows = [("DM", "small", 200, seed, "dev", value) for seed, value in enumerate([0.5, 0.7, np.nan])]
    rows += [("DM", "small", 100, 0, "dev", 0.4), ("ERM", None, 100, 0, "dev", np.nan)]
    runs = pd.DataFrame(rows, columns=["method", "reference", "steps", "seed", "dataset", "value"])
    frame = training_length.training_length_frame(runs)
    assert frame[["method", "reference", "steps", "runs", "failed"]].to_numpy().tolist() == [
        ["DM", "small", 100, 1, 0],
        ["DM", "small", 200, 2, 1],
        ["ERM", "-", 100, 0, 1],
    ]
    # (.5, .7): deviation with divisor 1 is (2 x .01) ** .5.
    np.testing.assert_allclose(frame["mean"], [0.4, 0.6, np.nan])
    np.testing.assert_allclose(frame["std"], [np.nan, 0.02**0.5, np.nan])
    figure = training_length.draw(frame, TITLE, "accuracy", 200)
    assert paragraph(figure).endswith("Failed runs left out: DM: small, 200 steps (1); ERM, 100 steps (1).")


def test_training_length_is_drawn_in_percent_with_series_side_by_side():
    frame = lengths(METHODS, SETS[:2])
    figure = training_length.draw(frame, TITLE, "accuracy", 49088)
    panel = figure.axes[1]
    bars = [item for item in panel.containers if isinstance(item, ErrorbarContainer)]
    places = []
    series = frame[frame["dataset"] == SETS[1]].groupby(["method", "reference"], sort=False)
    for bar, (_, part) in zip(bars, series, strict=True):
        line, _, (whiskers,) = bar.lines
        np.testing.assert_array_equal(line.get_xdata(), part["steps"])
        np.testing.assert_array_equal(line.get_ydata(), 100 * part["mean"])
        ends = np.array(whiskers.get_segments())[:, :, 1]
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 200 * part["std"])
        places.append(line.get_transform().transform((49088, 0))[0])
    assert len(set(places)) == len(METHODS)
    left, right = panel.get_window_extent().intervalx
    assert max(places) - min(places) < 0.04 * (right - left)
    assert panel.get_ylim()[0] < 100 * frame["mean"].min() and panel.get_ylim()[1] > 100 * frame["mean"].max()


STOPPED = pd.DataFrame(
    {
        "label": ["FTFT"] * 5 + ["ERM"],
        "seed": [0, 0, 1, 2, 2, 0],
        "step": [10, 20, 10, 10, 20, 10],
        "score": [0.5, 0.6, 0.7, np.nan, 0.1, 0.2],
    }
)
STOP = {"label": ["FTFT", "FTFT"], "seed": [0, 1], "stop_step": [20, 10], "kept_step": [10, 10]}


def test_learning_curves_carry_mean_stop_and_kept_checkpoint():
    frame = learning_curves.curve_frame(STOPPED, pd.DataFrame(STOP))
    # Seed 2 failed; the mean ends at step 10, where seed 1 stopped.
    np.testing.assert_array_equal(frame["score"], [0.5, 0.6, 0.7, np.nan, np.nan, 0.2])
    np.testing.assert_allclose(frame["mean"], [0.6, np.nan, 0.6, 0.6, np.nan, 0.2])
    assert frame["kept"].tolist() == [True, False, True, False, False, False]
    assert frame["stop"].tolist() == [False, True, True, False, False, False]
    figure = learning_curves.draw(frame, TITLE, "accuracy")
    assert paragraph(figure).endswith("Failed runs left out: FTFT, seed 2.")
    own = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in figure.axes[0].lines}
    assert own[10, 20] == (50, 60)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert sorted((x, y) for line in marks for x, y in line.get_xydata()) == [(10, 70), (20, 60)]


def test_curves_need_no_stop():
    frame = learning_curves.curve_frame(STOPPED, pd.DataFrame(columns=list(STOP)))
    assert not frame[["kept", "stop"]].to_numpy().any()


@pytest.mark.parametrize(
    ("column", "values"), [("stop_step", [30, 10]), ("kept_step", [10, 9]), ("seed", [0, 5])]
)
def test_a_stop_off_its_curve_is_refused(column, values):
    with pytest.raises(DataError, match=r"the stop of FTFT, seed \d, does not fit its learning curve"):
        learning_curves.curve_frame(STOPPED, pd.DataFrame(STOP | {column: values}))


def test_a_large_map_shows_a_sample_that_depends_on_the_uids_alone(tmp_path):
    _, whole = reference(0, instances=30_000)
    frame = data_map.map_frame(whole, 0.33)
    order = np.random.default_rng(1).permutation(30_000)
    columns = (getattr(whole, name)[order] for name in ("confidence", "variability", "correctness"))
    shuffled = data_map.map_frame(DataMap([whole.uids[row] for row in order], *columns), 0.33)
    assert len(frame) == 25_000 and set(frame["uid"]) == set(shuffled["uid"])
    # Borders are those of all instances: 9,900 lie beyond each.
    assert (whole.variability >= frame["ambiguous_from"].iloc[0]).sum() == 9_900
    assert (whole.confidence <= frame["hard_to_learn_to"].iloc[0]).sum() == 9_900

    figure = data_map.draw(frame, TITLE)
    assert paragraph(figure).startswith("25,000 of 30,000 instances, sampled by a hash of their uids.")
    drawn = np.concatenate([points.get_offsets() for points in figure.axes[0].collections])
    assert sorted(map(tuple, drawn)) == sorted(zip(frame["variability"], frame["confidence"], strict=True))
    _, above, beside, corner = figure.axes
    for shares in (
        [bar.get_height() for bar in above.patches],
        [bar.get_width() for bar in beside.patches],
        [bar.get_height() for bar in corner.patches],
    ):
        assert sum(shares) == pytest.approx(100)
    outputs = {form: tmp_path / f"map.{form}" for form in ("svg", "png", "csv")}
    style.save(figure, frame, outputs)
    assert outputs["svg"].stat().st_size < 1_000_000


def test_a_small_map_shows_every_instance_and_its_borders():
    _, whole = reference(0)
    frame = data_map.map_frame(whole, 0.1)
    assert frame["uid"].tolist() == whole.uids
    points, above, beside, _ = data_map.draw(frame, TITLE).axes
    for axes in (points, above):
        assert frame["ambiguous_from"].iloc[0] in [line.get_xdata()[0] for line in axes.lines]
    for axes in (points, beside):
        assert frame["hard_to_learn_to"].iloc[0] in [line.get_ydata()[0] for line in axes.lines]


def test_lines_break_at_spaces_and_hyphens_within_the_width():
    text = f"FTFT: {LONG} {LONG}"
    lines = style.wrap(text, 1.0).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "") and len(lines) > 2
    assert max(map(style.text_width, lines)) <= 1.0
    assert style.wrap("unbreakable", 0.1) == "unbreakable"


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (overlap.draw, lambda: overlap.overlap_frame({}, 0.33)),
        (overlap.draw, lambda: overlap.average_over_seeds(overlap.overlap_frame({}, 0.33))),
        (true_class.draw, lambda: true_class.true_class_frame([], 0.1)),
    ],
)
def test_runs_that_all_failed_make_a_figure_that_says_so(draw, frame, tmp_path):
    figure = draw(frame(), TITLE, ["small, seed 0", "small, seed 1"])
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "There is no run to show. Failed runs left out: small, seed 0; small, seed 1." in texts
    style.save(figure, frame(), {form: tmp_path / f"figure.{form}" for form in ("svg", "png", "csv")})


def test_figures_of_runs_that_all_failed_are_drawn():
    failed = pd.DataFrame(
        [("ERM", None, 100, 0, "r1", np.nan)],
        columns=["method", "reference", "steps", "seed", "dataset", "value"],
    )
    training_length.draw(training_length.training_length_frame(failed), TITLE, **NLI)
    columns = ["label", "seed", "kept_step", "stop_step"]
    curve = pd.DataFrame([("ERM", 0, 10, np.nan)], columns=["label", "seed", "step", "score"])
    learning_curves.draw(learning_curves.curve_frame(curve, pd.DataFrame(columns=columns)), TITLE, "accuracy")
