"""The BERT encoder in MLX (Devlin et al., 2019, arXiv:1810.04805), in float32.

float32 because 16-bit matrix products are 40 times slower on a CPU. Tokens of a batch are the rows
of one matrix wherever possible, so that each layer is four large products.
"""

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import mlx.core as mx

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding.mlx.elementwise import EXP_SCALE, exp_scaled, gelu
from akidb_ray.embedding.model_folder import FIELD, BertFolder

# Added to the scores of padding, in units of EXP_SCALE: far below any score, and near enough for
# exp_scaled to clip exactly.
_MASKED = -100.0


@dataclass(frozen=True, slots=True)
class _Affine:
    """x @ weight + bias; `weight` is (in, out)."""

    weight: mx.array
    bias: mx.array

    def __call__(self, x: mx.array) -> mx.array:
        return x @ self.weight + self.bias


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: mx.array
    bias: mx.array
    epsilon: float

    def __call__(self, x: mx.array) -> mx.array:
        return mx.fast.layer_norm(x, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class _Layer:
    query_key_value: _Affine
    attention_output: _Affine
    attention_norm: _Norm
    up: _Affine
    down: _Affine
    output_norm: _Norm


class BertEncoder:
    """Token embeddings and transformer layers, without BERT's pooler."""

    def __init__(self, folder: BertFolder) -> None:
        """Read `model.safetensors`. Raises InvalidArgument when it is missing or does not fit."""
        self._heads = folder.heads
        weights = _Weights(folder)
        self._words = weights.table("embeddings.word_embeddings.weight")
        # Sentence encoders have one segment, so its embedding belongs to every position.
        self._positions = (
            weights.table("embeddings.position_embeddings.weight")
            + weights.table("embeddings.token_type_embeddings.weight")[0]
        )
        self._norm = weights.norm("embeddings.LayerNorm")
        self._layers = [weights.layer(number) for number in range(folder.layers)]
        mx.eval(self._positions)

    def encode(self, tokens: mx.array, mask: mx.array) -> mx.array:
        """Hidden states of the last layer: float32 (batch, length, dimension).

        `tokens` is int32 (batch, length), padded; `mask` is float32 of the same shape, 1 for a
        token and 0 for padding. The states of padding mean nothing.
        """
        batch, length = tokens.shape
        states = self._words[tokens] + self._positions[:length]
        states = self._norm(states.reshape(batch * length, -1))
        key_bias = ((1.0 - mask) * _MASKED)[:, None, None, :]
        for layer in self._layers:
            attended = layer.attention_output(self._attend(layer, states, key_bias))
            states = layer.attention_norm(states + attended)
            states = layer.output_norm(states + layer.down(gelu(layer.up(states))))
        return states.reshape(batch, length, -1)

    def _attend(self, layer: _Layer, states: mx.array, key_bias: mx.array) -> mx.array:
        batch, length = key_bias.shape[0], key_bias.shape[-1]
        rows, dimension = states.shape
        mixed = layer.query_key_value(states).reshape(batch, length, 3, self._heads, -1)
        # One copy lays out (3, batch, heads, length, width); MLX would make three, one per product.
        queries, keys, values = mx.contiguous(mixed.transpose(2, 0, 3, 1, 4))
        scores = queries @ keys.swapaxes(-1, -2) + key_bias
        parts = exp_scaled(scores - mx.max(scores, axis=-1, keepdims=True))
        # A sum as a product runs in BLAS; dividing after the values divides fewer numbers.
        totals = parts @ mx.ones((length, 1))
        attended = (parts @ values) / totals
        return attended.transpose(0, 2, 1, 3).reshape(rows, dimension)


class _Weights:
    """The named arrays of a checkpoint, in float32."""

    def __init__(self, folder: BertFolder) -> None:
        self._folder = folder
        self._file = folder.path / "model.safetensors"
        self._arrays = _load_arrays(self._file)

    def table(self, name: str) -> mx.array:
        """The array of this name, contiguous. Raises InvalidArgument when it is not there."""
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays.get(f"bert.{name}")
        if array is None:
            raise InvalidArgument(FIELD, f"{self._file} has no weights {name!r}")
        ready = mx.contiguous(array.astype(mx.float32))
        mx.eval(ready)
        return ready

    def norm(self, name: str) -> _Norm:
        return _Norm(
            self.table(f"{name}.weight"), self.table(f"{name}.bias"), self._folder.norm_epsilon
        )

    def affine(self, name: str) -> _Affine:
        weight = mx.contiguous(self.table(f"{name}.weight").T)
        mx.eval(weight)
        return _Affine(weight, self.table(f"{name}.bias"))

    def layer(self, number: int) -> _Layer:
        prefix = f"encoder.layer.{number}"
        return _Layer(
            query_key_value=self._query_key_value(f"{prefix}.attention.self"),
            attention_output=self.affine(f"{prefix}.attention.output.dense"),
            attention_norm=self.norm(f"{prefix}.attention.output.LayerNorm"),
            up=self.affine(f"{prefix}.intermediate.dense"),
            down=self.affine(f"{prefix}.output.dense"),
            output_norm=self.norm(f"{prefix}.output.LayerNorm"),
        )

    def _query_key_value(self, prefix: str) -> _Affine:
        query, key, value = (self.affine(f"{prefix}.{name}") for name in ("query", "key", "value"))
        # The scale of the scores is folded into the queries, together with that of exp_scaled.
        head_width = self._folder.dimension // self._folder.heads
        scale = 1 / (sqrt(head_width) * EXP_SCALE)
        weight = mx.concatenate([query.weight * scale, key.weight, value.weight], axis=1)
        bias = mx.concatenate([query.bias * scale, key.bias, value.bias])
        mx.eval(weight, bias)
        return _Affine(weight, bias)


def _load_arrays(file: Path) -> dict[str, mx.array]:
    if not file.is_file():
        raise InvalidArgument(FIELD, f"{file.parent} is not a model folder: it has no {file.name}")
    try:
        arrays = mx.load(str(file))
    except (RuntimeError, ValueError) as error:
        raise InvalidArgument(FIELD, f"{file} cannot be read: {error}") from error
    assert isinstance(arrays, dict)
    return arrays
