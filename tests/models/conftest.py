"""Golden checkpoints and altered copies of them."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor

GOLDEN = Path(__file__).parents[1] / "golden"

Alter = Callable[..., Path]
Threads = Callable[[int], AbstractContextManager[None]]


@cache
def load_golden(name: str) -> MaskPredictor:
    return load_model(GOLDEN / name)


@pytest.fixture
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def predictor() -> Callable[[str], MaskPredictor]:
    """A golden checkpoint in float32, loaded once."""
    return load_golden


@pytest.fixture
def altered(tmp_path: Path) -> Alter:
    """A copy of a golden checkpoint with fields of its config.json changed; None removes one."""

    def alter(name: str, **fields: Any) -> Path:
        folder = tmp_path / name
        shutil.copytree(GOLDEN / name, folder)
        config = json.loads((folder / "config.json").read_text()) | fields
        kept = {field: value for field, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))
        return folder

    return alter


@pytest.fixture(scope="session")
def odd_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in LLaDA's layout, no size a multiple of a vector register's."""
    folder = tmp_path_factory.mktemp("odd")
    width, num_heads, num_kv_heads, mlp_width, num_tokens = 36, 3, 1, 684, 101
    config = json.loads((GOLDEN / "llada-tiny" / "config.json").read_text()) | {
        "d_model": width,
        "n_heads": num_heads,
        "n_kv_heads": num_kv_heads,
        "mlp_hidden_size": mlp_width,
        "embedding_size": num_tokens,
        "vocab_size": num_tokens,
        "mask_token_id": 100,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    kv_width = width // num_heads * num_kv_heads
    shapes = {
        "attn_norm": (width,),
        "ff_norm": (width,),
        "q_proj": (width, width),
        "k_proj": (kv_width, width),
        "v_proj": (kv_width, width),
        "attn_out": (width, width),
        "ff_proj": (mlp_width, width),
        "up_proj": (mlp_width, width),
        "ff_out": (width, mlp_width),
    }
    generator = torch.Generator().manual_seed(0)
    weights = {
        f"model.transformer.{name}.weight": torch.randn(shape, generator=generator) * shape[-1] ** -0.5
        + (len(shape) == 1)
        for name, shape in {
            "wte": (num_tokens, width),
            "ln_f": (width,),
            "ff_out": (num_tokens, width),
            **{f"blocks.{layer}.{name}": shape for layer in range(2) for name, shape in shapes.items()},
        }.items()
    }
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture
def threads() -> Threads:
    """Run a block with so many intra-op threads."""

    @contextmanager
    def use(num_threads: int) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    return use
