"""Generation: rows of tokens, scores and metrics by hand-made numbers, and a run of a small model."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from small import RECIPE, RUNTIME, require_all_selectors

from ftft.artifacts import read_parquet
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.selection import Pool
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset, object_array
from ftft.errors import DataError, ModelError
from ftft.execution.progress import Progress
from ftft.models.adapters import adapt
from ftft.models.decoding import greedy_responses
from ftft.models.encoders import prepare_encoder
from ftft.tasks.base import kind_of
from ftft.tasks.generation import PACKING, prompt_of
from ftft.tasks.metrics import metric
from ftft.tasks.prediction import encode, predict_outputs
from ftft.tasks.prepare import prepare
from ftft.tasks.text_metrics import last_number
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train
from ftft.training.saved import load_model, save_model, write_merged

KIND = kind_of("generation")
SPEC = {"kind": "generation", "text": ["prompt"], "label": "response", "uid": None}
CHAT = {"kind": "generation", "text": ["messages"], "label": "messages", "uid": None}
PROMPTS = ["say it again : one two", "say it again : two", "say : one one two and then some more words"]
RESPONSES = ["one two", "two", "one"]
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
GPT2 |= dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
CPU = torch.device("cpu")


def prepared(prompts=PROMPTS, responses=RESPONSES, **spec):
    table = pa.table({"prompt": prompts, "response": responses})
    return prepare(table, {**SPEC, **spec}, "rows", {"steps": []})


def conversations(*rows):
    return prepare(pa.table({"messages": list(map(json.dumps, rows))}), CHAT, "rows", {"steps": []})


@pytest.fixture(scope="module", params=[GPT2, LLAMA], ids=["gpt2", "llama"])
def model_folder(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp("model"), request.param)


def made(folder, architecture, **spec):
    scratch = {"source": "scratch", "tokenizer": {"kind": "bpe", "vocab_size": 320}}
    prepare_encoder(
        {**scratch, "head": "CausalLM", "max_length": 32, "architecture": architecture, **spec},
        prepared(),
        folder,
    )
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return made(tmp_path_factory.mktemp("gpt2"), {**GPT2, "initializer_range": 0.2})


def rows_of(tokens):
    """Prompt and response tokens of every row."""
    parts = [np.split(values, tokens.offsets[1:-1]) for values in (tokens.ids, tokens.aligned["response"])]
    return [(ids[marks == 0].tolist(), ids[marks == 1].tolist()) for ids, marks in zip(*parts, strict=True)]


def test_a_response_is_tokenised_by_itself_and_ended(gpt2, tmp_path):
    from tokenizers import Tokenizer

    tokens = encode(KIND, prepared(), gpt2, 32, tmp_path)
    tokenizer = Tokenizer.from_file(str(gpt2 / "tokenizer.json"))
    start, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    for (asked, given), prompt, response in zip(rows_of(tokens), PROMPTS, RESPONSES, strict=True):
        plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in (f"{prompt}\n", response)]
        assert (asked, given) == ([start, *plain[0]], [*plain[1], end])
        # A prompt at the time of use is the same tokens: nothing stands behind it.
        assert tokenizer.encode(f"{prompt}\n").ids == asked
    assert tokens.cut.rows == 0


@pytest.mark.parametrize("length", [12, 6, 3, 2])
def test_the_prompts_beginning_is_cut_first_and_counted(gpt2, tmp_path, length):
    whole, cut = (encode(KIND, prepared(), gpt2, own, tmp_path) for own in (64, length))
    assert cut.feature_lengths.max() == length
    for (asked, given), (short, left) in zip(rows_of(whole), rows_of(cut), strict=True):
        room = max(0, length - len(given) - 1)
        assert left == given[: length - 1]
        assert short == [asked[0], *(asked[1:][-room:] if room else [])]
    lost = (whole.feature_lengths - length).clip(0)
    assert cut.cut == ((lost > 0).sum(), 3, whole.feature_lengths.max(), 0, lost.sum())


def test_two_columns_make_one_prompt_and_the_second_may_be_empty():
    assert prompt_of(["do it", "to this"]) == "do it\nto this\n"
    assert prompt_of(["do it", ""]) == "do it\n" and prompt_of(["do it: "]) == "do it: "
    table = pa.table({"prompt": ["a"], "input": [None], "response": ["c"]})
    found = prepare(table, {**SPEC, "text": ["prompt", "input"]}, "rows", {"steps": []})
    assert found.texts == (["a"], [""])


def test_messages_become_what_the_chat_template_writes(gpt2, tmp_path):
    asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say : one"}]
    shared = [{"from": "human", "value": "say : two"}, {"from": "gpt", "value": "two"}]
    dataset = conversations([*asked, {"role": "assistant", "content": "one"}], shared)
    assert dataset.texts == ([["system", "be brief", "user", "say : one"], ["user", "say : two"]],) and list(
        dataset.labels
    ) == ["one", "two"]
    dataset.save(tmp_path / "data.parquet")
    loaded = Dataset.load(tmp_path / "data.parquet")
    assert loaded.texts == dataset.texts and loaded.labels.tolist() == ["one", "two"]
    by_hand = prepared(
        ["system: be brief\nuser: say : one\nassistant: ", "user: say : two\nassistant: "], ["one\n", "two\n"]
    )
    found, expected = (rows_of(encode(KIND, own, gpt2, 64, tmp_path)) for own in (loaded, by_hand))
    # By hand the tokenizer puts its own first token before the prompt.
    assert found == [(ids[1:], given) for ids, given in expected]
    assert KIND.shown(loaded.texts, loaded.labels, [])[0][0] == "system: be brief\nuser: say : one"


def test_a_response_that_the_template_ends_is_not_ended_twice(gpt2, tmp_path):
    folder = tmp_path / "chat"
    folder.mkdir()
    for file in gpt2.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = settings["chat_template"].replace("}}\n", "}}[SEP]\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    dataset = conversations([{"role": "user", "content": "a"}, {"role": "assistant", "content": "one"}])
    ((_, given),) = rows_of(encode(KIND, dataset, folder, 64, tmp_path / "cache"))
    ((_, plain),) = rows_of(encode(KIND, prepared(["a"], ["one"]), gpt2, 64, tmp_path / "cache"))
    assert given == plain


@pytest.mark.parametrize(
    "row",
    [
        [{"role": "user", "content": "a"}],
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}],
        [{"role": "poet", "content": "a"}, {"role": "assistant", "content": "b"}],
        "text",
    ],
)
def test_rows_without_a_conversation_are_refused(row):
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(DataError, match=r"rows without a conversation(.|\n)*row 2"):
        conversations(good, row)


def test_a_model_without_a_chat_template_is_refused_for_messages(gpt2, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((gpt2 / "tokenizer.json").read_bytes())
    settings = json.loads((gpt2 / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    dataset = conversations([{"role": "user", "content": "a"}, {"role": "assistant", "content": "one"}])
    with pytest.raises(ModelError, match="has no chat template"):
        encode(KIND, dataset, tmp_path, 64, tmp_path)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"model_type": "bert", "hidden_size": 16, "num_attention_heads": 2}, "sees tokens that come after"),
        ({"model_type": "deberta-v2", "hidden_size": 16}, "is no language model that generates texts"),
    ],
)
def test_models_that_are_not_causal_are_refused(tmp_path, architecture, message):
    with pytest.raises(ModelError, match=message):
        made(tmp_path, {**architecture, "num_hidden_layers": 1})


class Uniform(torch.nn.Module):
    """Logits that are the same for every token, whatever is before it."""

    def __init__(self, probabilities):
        super().__init__()
        self.head = torch.nn.Linear(1, len(probabilities))
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor(probabilities).log())

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.head(torch.ones(*input_ids.shape, 1)))


def test_sequence_scores_are_those_of_the_response_tokens_alone():
    from ftft.models.tokens import Tokens

    tokens = Tokens(
        np.array([3, 0, 1, 2, 2, 0, 0], np.int32),
        np.zeros(7, np.uint8),
        np.array([0, 4, 7]),
        aligned={"response": np.array([0, 0, 1, 1, 0, 0, 1], np.int32)},
    )
    config = SimpleNamespace(pad_token_id=3, type_vocab_size=0, is_encoder_decoder=False)
    batch = KIND.collate(tokens, np.array([0, 1]), config, CPU, 4)
    outputs = KIND.outputs(Uniform([0.5, 0.25, 0.125, 0.125]), batch)
    # Tokens 1 and 2 of the first row, token 0 of the second: 1/4 and 1/8, and 1/2, which is the largest.
    expected = [[2, np.log(1 / 32), 3 / 16, 0], [1, np.log(1 / 2), 1 / 2, 1]]
    recorded = KIND.recorded(outputs, batch, 4).detach()
    np.testing.assert_allclose(recorded, expected, rtol=1e-5)
    np.testing.assert_allclose(KIND.losses(outputs, batch).detach(), [np.log(32) / 2, np.log(2)], rtol=1e-5)
    (found,) = KIND.dynamics([recorded.numpy()], None)
    np.testing.assert_allclose(found["p_true"], [32**-0.5, 0.5], rtol=1e-5)
    assert found["correct"].tolist() == [False, True] and found["tokens"].tolist() == [2, 1]


def of_rows(model, tokens, rows):
    batch = KIND.collate(tokens, np.array(rows), model.config, CPU, 4)
    with torch.no_grad():
        outputs = KIND.outputs(model, batch)
    return torch.cat([KIND.recorded(outputs, batch, 4), KIND.losses(outputs, batch)[:, None]], 1)


def test_the_loss_is_that_of_transformers_and_depends_on_no_batch(model_folder, tmp_path):
    tokens = encode(KIND, prepared(), model_folder, 32, tmp_path)
    model = KIND.load(model_folder, [], True).eval()
    together = of_rows(model, tokens, [0, 1, 2])
    torch.testing.assert_close(
        together[[2, 1, 0]], torch.cat([of_rows(model, tokens, [2, 1]), of_rows(model, tokens, [0])])
    )
    for row, (asked, given) in enumerate(rows_of(tokens)):
        labels = torch.tensor([[-100] * len(asked) + given])
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([asked + given]), labels=labels).loss
        torch.testing.assert_close(together[row, 4], expected)
        assert together[row, 0] == len(given)


class Packing(type(KIND)):
    """The same on a CPU, packed."""

    def packs(self, config, device):
        return config.model_type in PACKING


QWEN = {**LLAMA, "model_type": "qwen2"}
OTHERS = {"mistral": {**LLAMA, "model_type": "mistral"}, "qwen2": QWEN, "qwen3": {**QWEN, "head_dim": 8}}
OTHERS["qwen3"] |= {"model_type": "qwen3"}


@pytest.mark.parametrize("name", PACKING)
def test_packed_rows_have_the_same_losses_and_gradients(name, tmp_path):
    architecture = {"gpt2": GPT2, "llama": LLAMA, **OTHERS}[name]
    folder = made(tmp_path / "model", {**architecture, "initializer_range": 0.2})
    model = KIND.load(folder, [], True)
    tokens = encode(
        KIND,
        prepared([*PROMPTS, *PROMPTS[:2], "a " * 40], [*RESPONSES, "two", "one", "one"]),
        folder,
        64,
        tmp_path,
    )
    found = []
    for kind in (KIND, Packing()):
        batch = kind.collate(tokens, np.arange(6), model.config, CPU, 4)
        outputs = kind.outputs(model, batch)
        model.zero_grad()
        losses = kind.losses(outputs, batch)
        losses.mean().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found.append((kind.recorded(outputs.detach(), batch, 4), losses.detach(), gradient.clone()))
    assert batch.inputs["input_ids"].shape[0] < 6
    for plain, packed in zip(*found, strict=True):
        torch.testing.assert_close(packed, plain, rtol=1e-4, atol=1e-6)


def test_the_head_comes_with_the_model(tmp_path):
    untied = made(tmp_path / "untied", {**LLAMA, "tie_word_embeddings": False})
    again = tmp_path / "again"
    spec = {"source": "folder", "path": str(untied), "head": "CausalLM", "max_length": 32}
    prepare_encoder(spec, None, again)
    first, second = (KIND.load(folder, [], True).state_dict() for folder in (untied, again))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    cut = tmp_path / "cut"
    prepare_encoder({**spec, "keep_layers": 1}, None, cut)
    assert KIND.load(cut, [], True).config.num_hidden_layers == 1


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_leaves_the_model_and_its_head_as_they_are(tmp_path, tied):
    folder = made(tmp_path / "model", {**LLAMA, "tie_word_embeddings": tied})
    tokens = encode(KIND, prepared(), folder, 32, tmp_path)
    adapter = {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.0}
    model = adapt(KIND.load(folder, [], False), adapter)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all(".lora_" in name for name in trained)
    plain = of_rows(KIND.load(folder, [], False).eval(), tokens, [0, 1, 2])
    torch.testing.assert_close(of_rows(model.eval(), tokens, [0, 1, 2]), plain)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.normal_()
    changed = of_rows(model, tokens, [0, 1, 2])
    assert (changed[:, 1] - plain[:, 1]).abs().min() > 1e-4
    save_model(model, {}, adapter, folder, tmp_path / "adapter")
    loaded = load_model(KIND, tmp_path / "adapter", folder, [], False).eval()
    torch.testing.assert_close(of_rows(loaded, tokens, [0, 1, 2]), changed)
    for part in ("merged", "alone"):
        (tmp_path / part).mkdir()
    base = {"name": "owner/name"}
    write_merged(KIND, tmp_path / "adapter", folder, [], base, tmp_path / "merged", tmp_path / "alone")
    torch.testing.assert_close(
        of_rows(KIND.load(tmp_path / "merged", [], False).eval(), tokens, [0, 1, 2]), changed
    )
    assert json.loads((tmp_path / "alone" / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"


def test_greedy_responses_are_the_likeliest_tokens_whatever_the_batch(gpt2, tmp_path):
    tokens = encode(KIND, prepared(), gpt2, 32, tmp_path)
    model = KIND.load(gpt2, [], True).eval()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(gpt2 / "tokenizer.json"))
    end, expected = tokenizer.token_to_id("[SEP]"), []
    for asked, _ in rows_of(tokens):
        new = []
        while len(new) < 5 and end not in new:
            with torch.no_grad():
                new.append(int(model(torch.tensor([asked + new])).logits[0, -1].argmax()))
        expected.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    for size in (1, 10_000):
        assert greedy_responses(model, tokens, gpt2, 5, size) == expected
    predictions = KIND.predictions(np.ones((3, 4), np.float32), prepared())
    spec = {"max_new_tokens": 5}
    found = KIND.completed(predictions, model, tokens, gpt2, spec, 100, torch.no_grad)
    assert [own["text"] for own in found] == expected


def predicted(*texts, log_p=(-1.0, -3.0, -2.0), tokens=(2, 1, 5)):
    entries = zip(texts, log_p, tokens, strict=True)
    return object_array([{"text": text, "log_p": p, "tokens": count} for text, p, count in entries])


def test_likelihoods_are_over_all_tokens_together():
    found = predicted("", "", "")
    targets = object_array(RESPONSES)
    assert metric("nll").score(targets, found, []) == pytest.approx(6 / 8)
    assert metric("perplexity").score(targets, found, []) == pytest.approx(np.exp(6 / 8))
    assert metric("token_likelihood").score(targets, found, []) == pytest.approx(np.exp(-6 / 8))
    # A bootstrap replicate that holds the first twice and the last once.
    statistics = metric("nll").statistics(targets, found, [])[:, None]
    replicate = metric("nll").replicates(np.array([[2.0, 0.0, 1.0]]), statistics)
    assert replicate[0, 0] == pytest.approx(4 / 9)


def test_generated_texts_are_compared():
    targets = object_array(["the sum is 1,200", "it is -3", "no number"])
    found = predicted("I say 1200.", "it  is -3", "a number 7")
    assert metric("answer_match").score(targets, found, []) == 1.0
    assert metric("response_match").score(targets, found, []) == pytest.approx(1 / 3)
    # Longest common subsequences of 1 of 2 and 2 words, of 3 and 3 ("3" is a word), of none and none.
    by_hand = [0.0, 1.0, 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)]
    assert metric("rouge_l").statistics(targets, found, [])[:, 0] == pytest.approx(by_hand)
    without = object_array([{"log_p": -1.0, "tokens": 1}] * 3)
    assert np.isnan(metric("answer_match").score(targets, without, []))
    assert metric("response_match").floor(object_array(["a", "b", "b", "c"]), []) == 0.5
    assert metric("answer_match").floor(object_array(["x 5", "5.0", "y 6", "none"]), []) == pytest.approx(
        2 / 3
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [("#### 18", 18), ("5-3", 3), ("= -3", -3), ("1,234.50 dollars", 1234.5), ("3.", 3), ("none", None)],
)
def test_the_last_number_of_a_text(text, number):
    assert last_number(text) == number


def test_lengths_are_those_of_the_responses():
    pool = Pool.of(prepared(), KIND, None, 0.5, 0, "exact")
    assert pool.lengths.tolist() == [7, 3, 3] and pool.make_up.tolist() == [0, 0, 0]
    groups, names = KIND.groups(prepared(responses=["a", "a b", "a b c"]))
    assert (groups.tolist(), names) == ([0, 1, 2], ["1 words", "2 words", "3 words"])


def to_learn(encoder, scratch, learning_rate):
    """Training data whose prompts hold their responses, and what defines a training of eight epochs."""
    chance = random.Random(0)
    words = [" ".join(chance.choices(["one", "two"], k=1 + row % 3)) for row in range(24)]
    dataset = prepared([f"say : {own}" for own in words], words)
    tokens = encode(KIND, dataset, encoder, 32, scratch)
    everything = Supervision.of(np.arange(24))
    data = TrainingData(KIND, tokens, dataset, everything, {"validation": Development(tokens, dataset)})
    recipe = {**RECIPE, "epochs": 8.0, "learning_rate": learning_rate}
    return data, {"recipe": recipe, "metrics": KIND.metrics, "early_stopping": None}


def test_a_run_on_prompts_gives_dynamics_a_map_and_supervisions(gpt2, tmp_path):
    data, spec = to_learn(gpt2, tmp_path, learning_rate=2.0e-2)
    dataset = data.dataset
    results = [
        train(spec, str(gpt2), data, 0, {**RUNTIME, **runtime}, Progress("test", []))
        for runtime in ({}, {"micro_batch_size": 3})
    ]
    for one, other in zip(*(result.epochs for result in results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    result = results[0]
    assert len(result.epochs) == 8 and result.outcome["validation"]["token_likelihood"] > 0.1
    width = KIND.prediction_width(dataset)
    outputs = predict_outputs(KIND, result.model, data.tokens, width, 512, torch.no_grad)
    recorded = metric("token_likelihood").score(dataset.labels, KIND.predictions(outputs, dataset), [])
    assert recorded == pytest.approx(result.outcome["validation"]["token_likelihood"], rel=1e-5)
    file = tmp_path / "dynamics.parquet"
    save_dynamics(file, KIND, result.epochs, dataset, {})
    assert {"tokens", "log_p", "mean_p", "tokens_right"} <= {*read_parquet(file)[0].column_names}
    dynamics = load_dynamics(file, dataset)
    assert (dynamics.p_true[-1] > dynamics.p_true[0]).mean() > 0.9
    require_all_selectors(dynamics, dataset)
