"""Generation by models with an encoder for the prompt and a decoder for the response."""

import json

import numpy as np
import pytest
import torch
from small import RUNTIME, require_all_selectors
from test_generation import (
    CPU,
    KIND,
    LLAMA,
    PROMPTS,
    RESPONSES,
    conversations,
    made,
    of_rows,
    prepared,
    rows_of,
    to_learn,
)
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

from ftft.artifacts import read_parquet
from ftft.cartography.before import read_before
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.errors import ModelError
from ftft.execution.progress import Progress
from ftft.execution.state import read_state, write_state
from ftft.models.adapters import adapt, load_trained_state, trained_state
from ftft.models.decoding import greedy_responses
from ftft.models.encoders import prepare_encoder
from ftft.models.flops import Workload, count_flops
from ftft.tasks.generation import PACKING
from ftft.tasks.prediction import encode
from ftft.training.before import look_before_training
from ftft.training.loop import train
from ftft.training.saved import load_model, save_model, write_merged

T5 = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
T5 |= {"num_decoder_layers": 1, "dropout_rate": 0.0}
BART = {
    "model_type": "bart",
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "max_position_embeddings": 64,
}
BART |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
BART |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "dropout": 0.0, "init_std": 0.2}
# Small weights hardly tell tokens apart.
ARCHITECTURES = {"t5": {**T5, "initializer_factor": 4.0}, "bart": BART}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp("model"), ARCHITECTURES[request.param])


def test_a_prompt_keeps_the_end_that_its_tokenizer_gives_it(folder, tmp_path):
    tokens = encode(KIND, prepared(), folder, 64, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for (asked, given), prompt, response in zip(rows_of(tokens), PROMPTS, RESPONSES, strict=True):
        assert asked == tokenizer(f"{prompt}\n")["input_ids"] and asked[-1] == tokenizer.eos_token_id
        plain = tokenizer(response, add_special_tokens=False)["input_ids"]
        assert given == [*plain, tokenizer.eos_token_id]


@pytest.mark.parametrize("length", [14, 6, 3])
def test_the_prompts_beginning_is_cut_first_and_counted(folder, tmp_path, length):
    whole, cut = (encode(KIND, prepared(), folder, own, tmp_path) for own in (64, length))
    for (asked, given), (short, left) in zip(rows_of(whole), rows_of(cut), strict=True):
        room = max(0, length - len(given) - 2)
        assert left == given[: max(1, length - 2)]
        text = asked[1:-1]
        assert short == [asked[0], *(text[-room:] if room else []), asked[-1]]
    assert cut.cut.rows == (whole.feature_lengths > length).sum() > 0
    assert cut.cut.longest == whole.feature_lengths.max()


def test_losses_are_those_of_transformers_one_by_one_whatever_the_batch(folder, tmp_path):
    tokens = encode(KIND, prepared(), folder, 64, tmp_path)
    model = KIND.load(folder, [], True).eval()
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    together = of_rows(model, tokens, [0, 1, 2])
    swapped = torch.cat([of_rows(model, tokens, [2, 1]), of_rows(model, tokens, [0])])
    torch.testing.assert_close(together[[2, 1, 0]], swapped, rtol=1e-4, atol=1e-5)
    assert together[:, 4].std() > 0.01
    for row, (asked, given) in enumerate(rows_of(tokens)):
        labels = torch.tensor([given])
        with torch.no_grad():
            expected = plain(input_ids=torch.tensor([asked]), labels=labels)
        p = expected.logits[0].log_softmax(-1)
        gold = p[torch.arange(len(given)), labels[0]]
        right = (p.argmax(-1) == labels[0]).sum()
        by_hand = [len(given), gold.sum(), gold.exp().mean(), right, expected.loss]
        torch.testing.assert_close(together[row], torch.tensor(by_hand), rtol=1e-4, atol=1e-4)


def test_a_state_holds_shared_embeddings_once_and_comes_back(folder, tmp_path):
    trained, other = (KIND.load(folder, [], True) for _ in range(2))
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter))
    path = write_state(tmp_path, "state", {"model": trained_state(trained)}, {})
    load_trained_state(other, read_state(path, {})["model"])
    torch.testing.assert_close(other.state_dict(), trained.state_dict(), rtol=0, atol=0)
    assert other.get_output_embeddings().weight is other.get_input_embeddings().weight
    assert path.stat().st_size < 5 * sum(own.numel() for own in other.parameters()) + 20_000


def test_the_prompt_matters_and_its_padding_does_not(folder, tmp_path):
    dataset = prepared(["one two", "two", "and then some more words " * 3], ["one", "one", "one"])
    tokens = encode(KIND, dataset, folder, 64, tmp_path)
    batch = KIND.collate(tokens, np.arange(3), KIND.load(folder, [], True).config, CPU, 4)
    assert batch.inputs["attention_mask"].sum(1).tolist() == [len(asked) for asked, _ in rows_of(tokens)]
    losses = of_rows(KIND.load(folder, [], True).eval(), tokens, [0, 1, 2])[:, 4]
    assert losses.unique().numel() == 3
    changed = batch.inputs["input_ids"].masked_fill(batch.inputs["attention_mask"] == 0, 7)
    model = KIND.load(folder, [], True).eval()
    with torch.no_grad():
        kept, other = (
            KIND.outputs(model, type(batch)({**batch.inputs, "input_ids": ids}, None, 4, batch.aligned))
            for ids in (batch.inputs["input_ids"], changed)
        )
    torch.testing.assert_close(kept, other)


def test_they_are_not_packed():
    assert not {"t5", "bart"} & {*PACKING}
    config = AutoConfig.for_model("t5")
    assert not KIND.packs(config, torch.device("cuda"))


def test_greedy_responses_are_those_of_transformers_one_by_one(folder, tmp_path):
    tokens = encode(KIND, prepared(), folder, 64, tmp_path)
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    expected = []
    for prompt in PROMPTS:
        asked = tokenizer(f"{prompt}\n", return_tensors="pt")
        found = model.generate(**asked, max_new_tokens=5, do_sample=False)
        expected.append(tokenizer.decode(found[0], skip_special_tokens=True).strip())
    for size in (1, 10_000):
        assert greedy_responses(KIND.load(folder, [], True).eval(), tokens, folder, 5, size) == expected


def test_the_pass_before_training_is_that_of_transformers(folder, tmp_path):
    dataset, spec = prepared(), {"max_length": 64, "precision": "float32"}
    dataset.save(tmp_path / "data.parquet")
    runtime = {**RUNTIME, "scratch": str(tmp_path)}
    file = tmp_path / "before.parquet"
    taken = look_before_training(spec, "small", folder, tmp_path / "data.parquet", file, runtime)
    found = read_before(file, dataset)
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    for row, (asked, given) in enumerate(rows_of(encode(KIND, dataset, folder, 64, tmp_path))):
        for place, prompt in enumerate((asked, [asked[0], asked[-1]])):
            with torch.no_grad():
                loss = plain(input_ids=torch.tensor([prompt]), labels=torch.tensor([given])).loss
            assert found[place][row] == pytest.approx(loss.item(), rel=1e-4)
    assert taken["flops"] > 0 and len(read_parquet(file)[0]) == 3


def test_messages_are_put_into_the_encoder(folder, tmp_path):
    dataset = conversations(
        [{"role": "user", "content": "say : one"}, {"role": "assistant", "content": "one"}]
    )
    ((asked, given),) = rows_of(encode(KIND, dataset, folder, 64, tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert asked == tokenizer("user: say : one\nassistant: ")["input_ids"][1:]
    assert given[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_flops_are_counted_for_both_parts(name):
    ends = {"vocab_size": 50, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    fewer = {"num_layers": 1} if name == "t5" else {"decoder_layers": 1}
    config = AutoConfig.for_model(**{**ARCHITECTURES[name], **fewer}, **ends)
    model = AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").train()
    given, asked = 5, 13
    with FlopCounterMode(display=False) as counter:
        ids = torch.ones((2, asked), dtype=torch.long)
        model(input_ids=ids, decoder_input_ids=ids[:, :given]).logits.sum().backward()
    count = count_flops(config, 24, "Seq2SeqLM").step
    expected = counter.get_total_flops()
    assert count.of(1, 2, 2 * asked, 2 * asked**2, 2 * given, 2 * given**2, 2 * asked * given) == expected
    work = Workload()
    work.add(np.array([asked + given] * 2), np.array([given] * 2))
    assert work.flops(count) == expected


def test_an_adapter_changes_all_but_the_head(folder, tmp_path):
    tokens = encode(KIND, prepared(), folder, 64, tmp_path)
    adapter = {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.0}
    model = adapt(KIND.load(folder, [], False), adapter)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all(".lora_" in name and "lm_head" not in name for name in trained)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(std=0.1)
    changed = of_rows(model.eval(), tokens, [0, 1, 2])
    save_model(model, {}, adapter, folder, tmp_path / "adapter")
    loaded = load_model(KIND, tmp_path / "adapter", folder, [], False).eval()
    torch.testing.assert_close(of_rows(loaded, tokens, [0, 1, 2]), changed)
    for part in ("merged", "alone"):
        (tmp_path / part).mkdir()
    base = {"name": "owner/name"}
    write_merged(KIND, tmp_path / "adapter", folder, [], base, tmp_path / "merged", tmp_path / "alone")
    merged = KIND.load(tmp_path / "merged", [], False).eval()
    torch.testing.assert_close(of_rows(merged, tokens, [0, 1, 2]), changed, rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "alone" / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"


def test_a_folder_of_a_model_is_taken_with_its_head(folder, tmp_path):
    spec = {"source": "folder", "path": str(folder), "head": "CausalLM", "max_length": 32}
    prepare_encoder(spec, None, tmp_path / "again")
    first, second = (KIND.load(own, [], True).state_dict() for own in (folder, tmp_path / "again"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_layers_of_two_stacks_are_not_cut(folder, tmp_path):
    spec = {"source": "folder", "path": str(folder), "head": "CausalLM", "max_length": 32, "keep_layers": 1}
    with pytest.raises(ModelError, match="keep_layers is for models with one stack of layers"):
        prepare_encoder(spec, None, tmp_path / "cut")


def test_a_run_learns_and_leaves_a_folder_that_generates(folder, tmp_path, monkeypatch):
    # It takes seconds for each model, and has tests of its own.
    monkeypatch.setattr(Workload, "flops", lambda *arguments, **options: 1)
    data, spec = to_learn(folder, tmp_path, learning_rate=1.0e-2)
    dataset = data.dataset
    result = train(spec, str(folder), data, 0, RUNTIME, Progress("test", []))
    shorter = {**spec, "recipe": {**spec["recipe"], "epochs": 1.0}}
    one, other = (
        train(shorter, str(folder), data, 0, {**RUNTIME, **runtime}, Progress("test", [])).epochs[0]
        for runtime in ({}, {"micro_batch_size": 3, "gradient_checkpointing": True})
    )
    # AdamW magnifies what is nearly 0: later epochs are further apart.
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
    file = tmp_path / "dynamics.parquet"
    save_dynamics(file, KIND, result.epochs, dataset, {})
    dynamics = load_dynamics(file, dataset)
    assert (dynamics.p_true[-1] > dynamics.p_true[0]).mean() > 0.9
    require_all_selectors(dynamics, dataset)
    save_model(result.model, {}, None, folder, tmp_path / "model")
    # The usage that the model card shows.
    usage = KIND.usage(["prompt"], True).replace("path/of/this/folder", str(tmp_path / "model"))
    *program, last = usage.splitlines()
    names: dict = {}
    exec("\n".join(program), names)
    assert isinstance(eval(last, names)[0], str)


def test_causal_models_are_what_they_were(tmp_path):
    assert KIND.head_of(False) == "CausalLM" and KIND.pipeline_of(False) == "text-generation"
    config = KIND.load(made(tmp_path, LLAMA), [], True).config
    assert not config.is_encoder_decoder
