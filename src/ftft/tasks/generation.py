"""Generation: a response to a prompt, by a causal language model, or one with an encoder for the prompt.

Only the tokens of the response are learnt and recorded, its end token included. p_true is the geometric mean
of their probabilities, exp(mean log-probability), one over the perplexity (Ince et al. 2023); an instance is
correct where each of them has the largest probability, the tokens before it being given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.conversations import as_messages, conversations
from ..data.dataset import object_array
from ..data.targets import required_texts
from .answers import numbered
from .base import Batch, Kind

# What is recorded and predicted of an instance, and the names of these columns in files.
COLUMNS = ("tokens", "log_p", "mean_p", "tokens_right")
# Kinds of models that were found to keep packed rows apart.
PACKING = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
# Instances are grouped by the tenths of the words of their responses.
PARTS = 10


class Generation(Kind):
    """Texts: prompts, or instructions and inputs, or lists of the messages before a response, role and text
    by turns. Labels: the responses, an object array [n] of texts.
    """

    name = "generation"
    metrics = ("token_likelihood",)
    evaluated = ("max_new_tokens",)
    learns = "the response to a prompt"
    title = "language model that responds to prompts"
    head = "CausalLM"
    pipeline = "text-generation"
    first_token = False
    shows_targets = True
    evaluation_share = 1 / 8
    one_column = True
    signals = frozenset({"before", "alone"})
    baselines = ("random", "longest", "ifd")

    def lists(self, spec: dict) -> list[str]:
        """The conversations."""
        return [spec["label"]] if _of_messages(spec) else []

    def columns(self, spec: dict) -> list[str]:
        """Prompts and responses, or the one column of conversations."""
        return list(dict.fromkeys(super().columns(spec)))

    def text_names(self, spec: dict) -> list[str]:
        """What a page calls the prompt's columns, and the response."""
        return [*spec["text"], "response"]

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Prompts, of which the second column may be empty, and responses."""
        if _of_messages(spec):
            prompts, found = conversations(records, spec["label"], spec, name)
            return (prompts,), object_array(found)
        first, *further = spec["text"]
        texts = [required_texts(records, first, spec, name)]
        texts += [[text or "" for text in records[column].to_pylist()] for column in further]
        return tuple(texts), object_array(required_texts(records, spec["label"], spec, name))

    def numbered(self, values: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
        """Responses, or what was predicted of them, with numbers in place of their words."""

        def of(own: str | dict) -> str | dict:
            if isinstance(own, str):
                return numbered(own.split(), numbers)
            return {**own, "text": of(own["text"])} if own.get("text") else own

        return object_array([of(own) for own in values])

    def width(self, dataset) -> int:
        """Response tokens, the sum of their log-probabilities, their mean probability, how many of them have
        the largest probability.
        """
        return len(COLUMNS)

    def targets(self, dataset) -> np.ndarray:
        """Nothing: the responses are among the tokens."""
        return np.zeros(len(dataset), np.int64)

    def chance(self, dataset) -> float:
        """None to speak of: one over the vocabulary."""
        return 0.0

    def make_up(self, dataset) -> np.ndarray:
        """All alike: a response has no label."""
        return np.zeros(len(dataset), np.int64)

    def lengths(self, dataset) -> np.ndarray:
        """Characters of the responses: what most scores of generated texts go by."""
        return np.array([len(response) for response in dataset.labels], np.int64)

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The tenth of the responses, by their words."""
        words = np.array([len(response.split()) for response in dataset.labels], np.int64)
        edges = np.unique(np.quantile(words, np.arange(1, PARTS) / PARTS, method="lower"))
        parts = np.searchsorted(edges[edges < words.max()], words)
        found = [words[parts == part] for part in range(parts.max() + 1)]
        ends = [dict.fromkeys([str(part.min()), str(part.max())]) for part in found]
        return parts, [f"{' to '.join(own)} words" for own in ends]

    def tokenize(self, dataset, tokenizer_file: str | Path, max_length: int):
        """Prompt and response as one row; beside every token whether it is one of the response."""
        from ..models.responses import responses

        first = dataset.texts[0]
        if first and not isinstance(first[0], str):
            asked = list(map(as_messages, first))
        else:
            asked = [prompt_of(row) for row in zip(*dataset.texts, strict=True)]
        return responses(asked, list(dataset.labels), tokenizer_file, max_length)

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct, tokens, log_p (their sum), mean_p and tokens_right."""
        for recorded in epochs:
            tokens, log_p, mean_p, right = recorded.T
            yield {
                "p_true": np.exp(log_p.astype(np.float64) / tokens).astype(np.float32),
                "correct": right == tokens,
                "tokens": tokens.astype(np.int32),
                "log_p": np.ascontiguousarray(log_p),
                "mean_p": np.ascontiguousarray(mean_p),
                "tokens_right": right.astype(np.int32),
            }

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """By instance its response's tokens and the sum of their log-probabilities: an object array."""
        return object_array(
            [{"tokens": int(tokens), "log_p": float(log_p)} for tokens, log_p, *_ in outputs.tolist()]
        )

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """The mean probability of a response's tokens, and how many have the largest."""
        return {"mean_p": pa.array(outputs[:, 2]), "tokens_right": pa.array(outputs[:, 3].astype(np.int32))}

    def completed(
        self, predictions: np.ndarray, model, tokens, folder: Path, spec: dict, batch_tokens: int, autocast
    ) -> np.ndarray:
        """The predictions with the text that the model generates, where `max_new_tokens` asks for one."""
        if "max_new_tokens" not in spec:
            return predictions
        from ..models.decoding import greedy_responses

        with autocast():
            texts = greedy_responses(model, tokens, folder, spec["max_new_tokens"], batch_tokens)
        return object_array([{**own, "text": text} for own, text in zip(predictions, texts, strict=True)])

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """The responses."""
        return list(targets)

    def shown(self, texts: Sequence[list], labels: np.ndarray, label_names: Sequence[str]) -> list[list[str]]:
        """Prompts, messages as lines of role and text, and responses."""
        columns = [[text if isinstance(text, str) else _lines(text) for text in column] for column in texts]
        return [*columns, list(labels)]

    def head_of(self, encoder_decoder: bool) -> str:
        """That of models which translate one sequence into another, too."""
        return "Seq2SeqLM" if encoder_decoder else self.head

    def pipeline_of(self, encoder_decoder: bool) -> str:
        """The hub tells both apart."""
        return "text2text-generation" if encoder_decoder else self.pipeline

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """The pipeline that generates texts; transformers has none for a model with an encoder."""
        if encoder_decoder:
            return (
                "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
                'folder = "path/of/this/folder"\n'
                "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
                "model = AutoModelForSeq2SeqLM.from_pretrained(folder)\n"
                "# A prompt ends in a line break here, as it did in training.\n"
                'prompts = tokenizer(["a prompt\\n"], return_tensors="pt", padding=True)\n'
                "found = model.generate(**prompts, max_new_tokens=100, do_sample=False)\n"
                "tokenizer.batch_decode(found, skip_special_tokens=True)"
            )
        return (
            "from transformers import pipeline\n\n"
            f'generate = pipeline("{self.pipeline}", "path/of/this/folder")\n'
            "# A prompt ends in a line break here, as it did in training; a model that was trained on\n"
            '# conversations takes [{"role": "user", "content": "a question"}].\n'
            'generate("a prompt\\n", max_new_tokens=100, do_sample=False, return_full_text=False)'
        )

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """A causal or encoder-decoder language model."""
        from ..models.heads import load_generator

        return load_generator(folder)

    def collate(self, tokens, rows: np.ndarray, config, device, width: int) -> Batch:
        """The instances `rows`: prompts for the encoder and responses for the decoder where a model has both,
        else packed into sequences on a GPU, where what is not padded is not computed.
        """
        import torch

        from ..models.responses import divided, packed

        padding, on_gpu = config.pad_token_id or 0, device.type == "cuda"
        if config.is_encoder_decoder:
            arrays = divided(tokens, rows, padding, config.decoder_start_token_id, on_gpu)
        elif self.packs(config, device):
            arrays = packed(tokens, rows, padding, on_gpu)
        else:
            batch = super().collate(tokens, rows, config, device, width)
            # Padding stands behind the tokens: none sees it.
            return replace(batch, inputs={"input_ids": batch.inputs["input_ids"]})
        found = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        aligned = {name: found.pop(name) for name in ("response", "row") if name in found}
        return Batch(found, None, width, aligned)

    def packs(self, config, device) -> bool:
        """Whether rows share sequences: on a GPU, for architectures that keep them apart by their places."""
        return device.type == "cuda" and config.model_type in PACKING

    def outputs(self, model, batch: Batch):
        """Log-probability of every response token, and whether it has the largest: [response tokens, 2]."""
        import torch
        from torch.nn.functional import cross_entropy

        from ..models.heads import logits_of_next

        wanted = batch.aligned["response"] > 0
        gold = batch.inputs.get("decoder_input_ids", batch.inputs["input_ids"])[wanted]
        logits = logits_of_next(model, batch.inputs, wanted).float()
        log_p = -cross_entropy(logits, gold, reduction="none")
        return torch.stack([log_p, (logits.argmax(-1) == gold).to(log_p.dtype)], 1)

    def compared(self, targets, batch: Batch):
        """The batch, which tells the rows of the response tokens."""
        return batch

    def losses(self, outputs, targets: Batch):
        """Cross-entropy, the mean over an instance's response tokens."""
        tokens, log_p = _by_row(outputs[:, 0], targets)
        return -log_p / tokens

    def recorded(self, outputs, targets: Batch, width: int):
        """What `width` says, [b, 4]."""
        import torch

        tokens, log_p = _by_row(outputs[:, 0], targets)
        _, p = _by_row(outputs[:, 0].exp(), targets)
        _, right = _by_row(outputs[:, 1], targets)
        return torch.stack([tokens.to(p.dtype), log_p, p / tokens, right], 1)

    def predicted(self, outputs, batch: Batch):
        """The same."""
        return self.recorded(outputs, batch, batch.width)


def prompt_of(texts: Sequence[str]) -> str:
    """One prompt of the texts of a row: those that are not empty on lines of their own, with a line break
    before the response.
    """
    prompt = "\n".join(text for text in texts if text)
    return prompt if prompt[-1:].isspace() else f"{prompt}\n"


def _of_messages(spec: dict) -> bool:
    """Whether the rows are conversations: prompt and response in one column."""
    return [spec["label"]] == list(spec["text"])


def _lines(parts: list[str]) -> str:
    return "\n".join(f"{message['role']}: {message['content']}" for message in as_messages(parts))


def _by_row(values, batch: Batch):
    """The number of response tokens of every row, and the sum of their `values`: [b] each."""
    import torch

    wanted = batch.aligned["response"] > 0
    if "row" in batch.aligned:
        rows = batch.aligned["row"][wanted]
        # Every row has a response token.
        counts = torch.bincount(rows)
    else:
        counts = wanted.sum(1)
        rows = torch.arange(len(counts), device=values.device).repeat_interleave(counts)
    return counts, values.new_zeros(len(counts)).index_add(0, rows, values)
