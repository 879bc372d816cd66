"""Reads the settings of a model folder in Hugging Face layout. JSON only: no weights, no MLX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from akidb_ray.domain.errors import InvalidArgument

FIELD = "embedding_model"


@dataclass(frozen=True, slots=True)
class BertFolder:
    """A sentence encoder of the BERT family (Devlin et al., 2019; Reimers and Gurevych, 2019)."""

    path: Path
    dimension: int
    layers: int
    heads: int
    norm_epsilon: float
    max_tokens: int
    pooling: Literal["mean", "cls"]


def read_bert_folder(path: Path) -> BertFolder:
    """Settings from config.json, sentence_bert_config.json and 1_Pooling/config.json.

    The last two may be missing: then all positions are read, and pooling is the mean. Raises
    InvalidArgument for a folder that is no model, or a model that is not supported.
    """
    config = _read_object(path / "config.json")
    if config is None:
        raise InvalidArgument(FIELD, f"{path} is not a model folder: it has no config.json")
    family = config.get("model_type")
    if family != "bert":
        raise InvalidArgument(FIELD, f"{path} holds a {family!r} model; only 'bert' is supported")
    for key, only in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        if config.get(key, only) != only:
            raise InvalidArgument(FIELD, f"{path}: {key} {config[key]!r} is not supported")
    limits = _read_object(path / "sentence_bert_config.json") or {}
    try:
        positions = int(config["max_position_embeddings"])
        return BertFolder(
            path=path,
            dimension=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            norm_epsilon=float(config.get("layer_norm_eps", 1e-12)),
            max_tokens=min(positions, int(limits.get("max_seq_length") or positions)),
            pooling=_read_pooling(path),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(FIELD, f"{path}/config.json is not usable: {error!r}") from error


def _read_pooling(path: Path) -> Literal["mean", "cls"]:
    config = _read_object(path / "1_Pooling" / "config.json")
    if config is None or config.get("pooling_mode_mean_tokens"):
        return "mean"
    if config.get("pooling_mode_cls_token"):
        return "cls"
    raise InvalidArgument(FIELD, f"{path} pools neither by mean nor by the CLS token")


def _read_object(file: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidArgument(FIELD, f"{file} cannot be read: {error}") from error
