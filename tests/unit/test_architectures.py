"""Every architecture that is small enough to try: a row's logits do not depend on its batch, and it learns.

docs/architectures.md is the table of what comes out here.
"""

import json
import re

import numpy as np
import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from ftft.errors import ModelError
from ftft.models.encoders import prepare_encoder
from ftft.models.tokens import tokenize

KNOWN = [kind for kind in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES if kind in CONFIG_MAPPING]
SMALL = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_size", "emb_dim", "dim"), 32),
    **dict.fromkeys(("intermediate_size", "d_ff", "d_inner", "n_inner", "hidden_dim", "ffn_dim"), 48),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "ffn_hidden_size"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "d_head", "v_head_dim", "qk_nope_head_dim"), 16),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "moe_intermediate_size"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 64),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout"), 0.0),
    "num_experts_per_tok": 2,
    "qk_rope_head_dim": 8,
    "shared_expert_intermediate_size": 16,
    "rotary_dim": 8,
    "dropout": 0.0,
}
# Of four layers the last has full attention.
LINEAR_ATTENTION = {
    "num_hidden_layers": 4,
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 16),
}
OWN = {
    "longformer": {"attention_window": 8},
    "falcon": {"head_dim": None},
    "xlnet": {"max_position_embeddings": None},
    "gpt_neo": {"attention_types": [[["global"], 2]]},
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1},
    "deepseek_v3": {"head_dim": 8},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2, "mamba_dt_rank": 8, "use_mamba_kernels": False},
    "qwen3_5_text": LINEAR_ATTENTION,
    "qwen3_next": LINEAR_ATTENTION,
}
TRIED = [
    "albert",
    "arcee",
    "bart",
    "bert",
    "big_bird",
    "biogpt",
    "bloom",
    "camembert",
    "convbert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "diffllama",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "falcon",
    "fnet",
    "gemma",
    "gemma2",
    "glm",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "gte",
    "ibert",
    "llama",
    "longformer",
    "mbart",
    "megatron-bert",
    "mistral",
    "mixtral",
    "modernbert",
    "modernbert-decoder",
    "mpnet",
    "mpt",
    "mt5",
    "nystromformer",
    "olmo",
    "olmo2",
    "openai-gpt",
    "opt",
    "persimmon",
    "phi",
    "phi3",
    "plbart",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roformer",
    "smollm3",
    "squeezebert",
    "stablelm",
    "starcoder2",
    "t5",
    "umt5",
    "xlm",
    "xlm-roberta",
    "xlnet",
    "yoso",
    "nemotron",
    "helium",
    "ctrl",
    "deepseek_v3",
    "flaubert",
    "funnel",
    "gemma3_text",
    "gpt_oss",
    "ministral",
    "mobilebert",
    "nomic_bert",
    "olmo3",
    "qwen3_5_text",
    "qwen3_next",
]
RARE = [
    "axk2",
    "bigbird_pegasus",
    "deepseek_v2",
    "doge",
    "esm",
    "esmc",
    "exaone4",
    "gpt-sw3",
    "hunyuan_v1_dense",
    "hunyuan_v1_moe",
    "jamba",
    "jetmoe",
    "jina_embeddings_v3",
    "layoutlm",
    "minicpm3",
    "minimax",
    "ministral3",
    "mvp",
    "phimoe",
    "seed_oss",
    "ultrabert",
    "xlm-roberta-xl",
]
REFUSED = {"convbert", "fnet", "mobilebert", "nystromformer", "yoso"}
ROWS = (["the tall nurse sings in the garden", "a", "the nurse sings"], ["nobody", "the garden is tall", "b"])


def architecture(kind):
    default = CONFIG_MAPPING[kind]()
    sizes = {**SMALL, **OWN.get(kind, {})}
    known = vars(default).keys() | default.attribute_map.keys()
    values = {name: value for name, value in sizes.items() if name in known and value is not None}
    return {"model_type": kind, **values}


def prepare(kind, train_set, folder, **further):
    spec = {
        **further,
        "source": "scratch",
        "max_length": 48,
        "architecture": architecture(kind),
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, train_set, folder)


def inputs(tokens, rows, config):
    arrays = tokens.padded(np.array(rows), config.pad_token_id)
    return {name: torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize(
    "kind",
    [
        *(kind for kind in TRIED if kind not in REFUSED),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in RARE),
    ],
)
def test_a_row_is_classified_alike_in_every_batch_and_learned(kind, train_set, tmp_path):
    prepare(kind, train_set, tmp_path)
    tokens = tokenize(ROWS, tmp_path / "tokenizer.json", 48)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.15)
    config = model.eval().config
    with torch.inference_mode():
        together = model(**inputs(tokens, [0, 1, 2], config)).logits
        alone = torch.cat([model(**inputs(tokens, [row], config)).logits for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        logits = model.train()(**inputs(tokens, [0, 1, 2], config)).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(3))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_does_not_mask_padding_is_refused(kind, train_set, tmp_path):
    with pytest.raises(ModelError, match="does not mask padding"):
        prepare(kind, train_set, tmp_path)


def test_padding_of_xlnet_comes_first(train_set, tmp_path):
    prepare("xlnet", train_set, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["padding_side"] == "left"
    tokens = tokenize(ROWS, tmp_path / "tokenizer.json", 48)
    padded = tokens.padded(np.array([0, 1]), 99)
    for place, row in enumerate((0, 1)):
        own = tokens.ids[slice(*tokens.offsets[row : row + 2])].tolist()
        assert padded["input_ids"][place].tolist()[-len(own) :] == own
        assert padded["attention_mask"][place].sum() == len(own)
        assert set(padded["input_ids"][place].tolist()[: -len(own)]) <= {99}


def test_what_transformers_cannot_classify_with_is_refused(train_set, tmp_path):
    with pytest.raises(ModelError, match="no AutoModelForSequenceClassification for vit"):
        prepare("vit", train_set, tmp_path)


def test_the_head_is_that_of_the_kind_of_task(train_set, tmp_path):
    with pytest.raises(ModelError, match="no AutoModelForTokenClassification for bart"):
        prepare("bart", train_set, tmp_path, head="TokenClassification")


def test_the_table_of_the_docs_is_this_one(root):
    text = (root / "docs" / "architectures.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.-]+)` \| (\w+)", text, re.MULTILINE))
    assert f"of {len(KNOWN)} kinds of models" in text and f"the {len(rows)} kinds that" in text
    assert rows == {kind: "no" if kind in REFUSED else "yes" for kind in TRIED + RARE}
    assert {*TRIED, *RARE} <= set(KNOWN), transformers.__version__
