"""The zoo's tokenizers, written once by the code that made those of the checkpoints."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import MEMBERS
from tie_core.zoo.members import RECIPES

Tokenizers = dict[str, PreTrainedTokenizerBase]


@pytest.fixture(scope="session")
def tokenizer_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in MEMBERS}
    for name, folder in folders.items():
        RECIPES[name].write_tokenizer(folder)
    return folders


@pytest.fixture(scope="session")
def tokenizers(tokenizer_folders: dict[str, Path]) -> Tokenizers:
    return {name: RECIPES[name].load_tokenizer(tokenizer_folders[name]) for name in MEMBERS}
