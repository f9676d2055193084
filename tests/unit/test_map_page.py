import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ftft.artifacts import write_parquet
from ftft.cartography.datamap import DataMap, write_map
from ftft.cartography.dynamics import save_dynamics
from ftft.cartography.selection import regions
from ftft.data.corrections import text_hash
from ftft.data.dataset import Dataset, object_array, uid_hash
from ftft.errors import ArtifactError
from ftft.pipeline.fingerprint import folder_hash
from ftft.results import map_page
from ftft.tasks.base import kind_of

N, EPOCHS = 23, 3
HOSTILE = "</script><script>alert(1)</script><!-- ]]> $title ${page} \\u003c \u2028 \x00 \U0001f600"
DATA = Dataset(
    [*(f"u{row}" for row in range(N - 1)), HOSTILE],
    ([HOSTILE, *(f"premise {row}" for row in range(1, N))], [f"hypothesis {row}" for row in range(N)]),
    np.arange(N) % 3,
    ["x", "y", HOSTILE],
)
LOGITS = np.random.default_rng(5).normal(size=(EPOCHS, N, 3)).astype(np.float32)
SPEC = {"title": HOSTILE, "text": ["premise", HOSTILE], "fraction": 0.33}
# Three are listed: two that look worse than the average, and one that its duplicate contradicts.
WORST = [7, 22, 3]
ISSUES = pa.table(
    {
        "uid": DATA.uids,
        "given": [DATA.label_names[label] for label in DATA.labels],
        "suggested": ["y"] * N,
        "score": [{7: 0.9, 22: 0.8, 3: 0.7}.get(row, 0.1) for row in range(N)],
        "probability": [{7: 0.6, 22: 0.5}.get(row, 0.05) for row in range(N)],
        "reason": [f"reason {row} {HOSTILE}" for row in range(N)],
        "contradicted": [row == 3 for row in range(N)],
    }
)
BLOCK = "application/octet-stream"


class Page(HTMLParser):
    """What a browser sees: elements with their attributes, the content of scripts, styles and the title."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.contents = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.contents.append("")

    def handle_endtag(self, tag):
        self.handle_starttag("/", [])

    def handle_data(self, data):
        if self.contents:
            self.contents[-1] += data

    def of(self, tag):
        found = zip(self.elements, self.contents, strict=True)
        return [(attributes, content) for (name, attributes), content in found if name == tag]

    @property
    def facts(self):
        (content,) = [content for attributes, content in self.of("script") if attributes.get("id") == "page"]
        return json.loads(content)

    @property
    def blocks(self):
        packed = {a["id"]: content for a, content in self.of("script") if a.get("type") == BLOCK}
        return {name: zlib.decompress(base64.b64decode(content)) for name, content in packed.items()}


@pytest.fixture
def files(tmp_path):
    DATA.save(tmp_path / "train.parquet")
    save_dynamics(tmp_path / "dynamics.parquet", kind_of("classification"), list(LOGITS), DATA, {})
    write_map(tmp_path / "dynamics.parquet", tmp_path / "train.parquet", tmp_path / "map.parquet")
    write_parquet(tmp_path / "issues.parquet", ISSUES, {"share": 0.1})
    return [tmp_path / f"{name}.parquet" for name in ("map", "dynamics", "train", "issues")]


def test_a_page_of_questions_holds_answers_and_where_the_given_ones_stand(tmp_path):
    context = f"\U0001f600 {HOSTILE} ann was in rome"
    place, wrong = context.index("rome"), (context.index("<script>"), context.index(" ann"))
    answers = [{"texts": ["rome", "rome"], "starts": [place, place]}, {"texts": [], "starts": []}] * 2
    data = Dataset(
        list("abcd"), (["where"] * 4, [context] * 4), object_array(answers), [], {}, "question_answering"
    )
    recorded = np.float32([[-4, -4, 0, *wrong, 3], [-1, -1, 1, 0, 0, -3]] * 2)
    recorded[2:, :2] /= 2
    learnt = recorded * np.float32([0.5, 0.5, 1, 1, 1, 1])
    names = [tmp_path / f"{name}.parquet" for name in ("map", "dynamics", "train", "issues")]
    data.save(names[2])
    save_dynamics(names[1], kind_of(data.kind), [recorded, learnt], data, {})
    write_map(names[1], names[2], names[0])
    write_parquet(names[3], ISSUES.slice(0, 0), {"share": None})
    map_page.write_page({**SPEC, "text": ["question", "context"]}, *names, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.facts["text"] == ["question", "context", "given answers", "model's steady answer"]
    assert page.facts["marked"] == 1 and not page.facts["choices"]
    uids, columns = json.loads(page.blocks["uids"]), json.loads(page.blocks["texts-0"])
    shown = dict(zip(uids, zip(*columns, strict=True), strict=True))
    hostile = context[slice(*wrong)]
    assert shown["a"] == shown["c"] == ("where", context, "rome", f"{hostile} (2 of 2 epochs)")
    assert shown["b"] == shown["d"] == ("where", context, "no answer", "no answer (2 of 2 epochs)")
    marks = dict(zip(uids, np.frombuffer(page.blocks["marks"], "<u4").reshape(4, 2).tolist(), strict=True))
    assert marks == {"a": [place, place + 4], "b": [0, 0], "c": [place, place + 4], "d": [0, 0]}
    assert [attributes.get("type") for attributes, _ in page.of("script")].count(None) == 1


@pytest.fixture
def written(files, tmp_path):
    map_page.write_page(SPEC, *files, tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def order_of(data_map):
    return sorted(range(N), key=lambda row: (-data_map.variability[row], row))


def test_a_page_holds_the_whole_map_most_ambiguous_first(written, files):
    data_map, blocks = DataMap.load(files[0])[0], written.blocks
    order = order_of(data_map)
    variability = np.frombuffer(blocks["variability"], "<u2") / 65535 / 2
    np.testing.assert_allclose(variability, data_map.variability[order], atol=0.25 / 65535)
    confidence = np.frombuffer(blocks["confidence"], "<u2") / 65535
    np.testing.assert_allclose(confidence, data_map.confidence[order], atol=0.5 / 65535)
    correct = np.frombuffer(blocks["correct"], "<u2")
    np.testing.assert_array_equal(correct, np.rint(data_map.correctness[order] * EPOCHS))
    np.testing.assert_array_equal(np.frombuffer(blocks["label"], "<u2"), DATA.labels[order])
    exponential = np.exp(LOGITS)
    p_true = (exponential / exponential.sum(-1, keepdims=True))[:, np.arange(N), DATA.labels]
    curves = np.frombuffer(blocks["curves"], np.uint8).reshape(N, EPOCHS) / 255
    np.testing.assert_allclose(curves, p_true.T[order], atol=0.51 / 255)


def test_a_page_holds_the_issues_worst_first_as_corrections_recognise_them(written, files):
    order = order_of(DataMap.load(files[0])[0])
    issues = json.loads(written.blocks["issues"])
    assert [order[issue["row"]] for issue in issues] == WORST
    assert [issue["probability"] for issue in issues] == [0.6, 0.5, 0.05]
    assert [issue["hash"] for issue in issues] == [
        text_hash([column[row] for column in DATA.texts]) for row in WORST
    ]
    assert issues[1]["given"] == "y" and issues[1]["reason"] == f"reason 22 {HOSTILE}"
    assert written.facts["choices"] == DATA.label_names


def test_uids_and_texts_come_back_as_they_were(written, files):
    order = order_of(DataMap.load(files[0])[0])
    assert json.loads(written.blocks["uids"]) == [DATA.uids[row] for row in order]
    assert json.loads(written.blocks["texts-0"]) == [[column[row] for row in order] for column in DATA.texts]
    assert written.facts["texts"] == written.facts["instances"] == N


@pytest.mark.parametrize("fraction", [0.1, 0.33, 0.7])
def test_the_regions_are_those_of_the_selections(files, tmp_path, fraction):
    map_page.write_page({**SPEC, "fraction": fraction}, *files, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    data_map = DataMap.load(files[0])[0]
    bits = np.empty(N, np.uint8)
    bits[order_of(data_map)] = np.frombuffer(page.blocks["regions"], np.uint8)
    masks = regions(data_map, fraction)
    np.testing.assert_array_equal(bits & 1 > 0, masks["ambiguous"])
    np.testing.assert_array_equal(bits & 2 > 0, masks["hard-to-learn"])
    np.testing.assert_array_equal(bits == 0, masks["easy"])
    assert page.facts["ambiguous_from"] == data_map.variability[masks["ambiguous"]].min()
    assert page.facts["hard_to_learn_to"] == data_map.confidence[masks["hard-to-learn"]].max()


def test_whatever_the_data_say_it_is_never_markup(written):
    scripts = [attributes for attributes, _ in written.of("script")]
    assert [a.get("type") for a in scripts].count(None) == 1
    assert {a.get("type") for a in scripts} == {None, BLOCK, "application/json"}
    assert written.facts["title"] == HOSTILE and written.facts["labels"] == DATA.label_names
    assert written.of("title")[0][1].strip() == HOSTILE and written.of("h1")[0][1].strip() == HOSTILE
    assert "alert(" not in " ".join(str(element) for element in written.elements)


def test_the_policy_admits_this_code_and_this_style_only(written, tmp_path):
    (policy,) = [a["content"] for a, _ in written.of("meta") if "http-equiv" in a]
    for tag, content in (("script", written.of("script")), ("style", written.of("style"))):
        (inline,) = [text for attributes, text in content if not attributes]
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert not any(re.match("on|style$|src$|href$", name) for _, found in written.elements for name in found)
    addresses = re.findall(r"(?:https?:)?//[\w.]+\.\w+", (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert set(addresses) <= {"http://www.w3.org"}


def test_texts_that_do_not_fit_are_left_out_by_the_hash_of_their_uids(files, tmp_path, monkeypatch):
    monkeypatch.setattr(map_page, "MOST_TEXT_BYTES", 200)
    map_page.write_page(SPEC, *files, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    uids = json.loads(page.blocks["uids"])
    premises, hypotheses = json.loads(page.blocks["texts-0"])
    sizes = {
        uid: sum(len(text.encode()) for text in texts)
        for uid, *texts in zip(DATA.uids, *DATA.texts, strict=True)
    }
    expected, total = set(), 0
    for uid in sorted(DATA.uids, key=uid_hash):
        total += sizes[uid]
        if total <= 200:
            expected.add(uid)
    assert {uid for uid, text in zip(uids, premises, strict=True) if text is not None} == expected
    assert [text is None for text in premises] == [text is None for text in hypotheses]
    assert page.facts["texts"] == len(expected) < N


def test_texts_are_unpacked_chunk_by_chunk(files, written, tmp_path, monkeypatch):
    monkeypatch.setattr(map_page, "CHUNK", 10)
    map_page.write_page(SPEC, *files, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    chunks = [json.loads(page.blocks[f"texts-{number}"]) for number in range(3)]
    assert [len(chunk[0]) for chunk in chunks] == [10, 10, 3] and "texts-3" not in page.blocks
    whole = json.loads(written.blocks["texts-0"])
    assert [[text for chunk in chunks for text in chunk[column]] for column in (0, 1)] == whole


def test_the_same_run_gives_the_same_page(files, tmp_path):
    for name in "ab":
        map_page.write_page(SPEC, *files, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("stale", [0, 1], ids=["map", "dynamics"])
def test_a_map_or_dynamics_of_other_data_give_no_page(files, tmp_path, stale):
    other = Dataset(DATA.uids, DATA.texts, (DATA.labels + 1) % 3, DATA.label_names)
    folder = tmp_path / "other"
    folder.mkdir()
    other.save(folder / "train.parquet")
    save_dynamics(folder / "dynamics.parquet", kind_of("classification"), list(LOGITS), other, {})
    write_map(folder / "dynamics.parquet", folder / "train.parquet", folder / "map.parquet")
    files[stale] = folder / files[stale].name
    with pytest.raises(ArtifactError, match="on other data"):
        map_page.write_page(SPEC, *files, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@given(arrays.arrays(np.float32, (2, 5), elements=st.floats(0, 1, width=32)))
def test_a_curve_is_off_by_half_a_step_at_most(p_true):
    curves = map_page.quantised_curves(p_true)
    assert curves.shape == (5, 2)
    np.testing.assert_allclose(curves.T / 255, p_true, atol=0.5001 / 255)


def test_an_edit_of_the_template_is_seen(tmp_path):
    (tmp_path / "app.js").write_text("1")
    before = folder_hash(tmp_path)
    folder_hash.cache_clear()
    (tmp_path / "app.js").write_text("2")
    assert folder_hash(tmp_path) != before
