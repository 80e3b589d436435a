"""What `tie models` tells: the configured members by what their checkpoint files say, and the ensembles.

Reads headers and tokenizers, never weights, and imports no torch. A folder that cannot be used is listed with
the reason.
"""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from service.settings import ModelSettings, Settings
from tie_core.errors import PromptError, TieError
from tie_core.models.checkpoint import Checkpoint, open_checkpoint
from tie_core.models.families import FAMILIES
from tie_core.models.family import Family
from tie_core.models.recognition import recognise
from tie_core.models.token_ids import read_token_ids
from tie_core.vocabulary import Vocabulary, load_vocabulary


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A member as its files describe it. Equal tokenizer fingerprints: relays between them copy ids."""

    family: str
    parameters: int
    vocabulary: int
    mask_id: int | None
    tokenizer: str


def inventory(settings: Settings) -> dict[str, Any]:
    """Everything that the table shows, as plain JSON types."""
    return {
        "models": [_entry(model) for model in settings.models],
        "ensembles": [ensemble.model_dump(mode="json") for ensemble in settings.ensembles],
    }


def _entry(model: ModelSettings) -> dict[str, Any]:
    configured = model.model_dump(mode="json")
    try:
        return configured | asdict(open_model(model).facts) | {"error": None}
    except TieError as error:
        return configured | {"error": " ".join(str(error).split())}


@dataclass(frozen=True, slots=True)
class Opened:
    """The files of a folder that a member can be made of."""

    checkpoint: Checkpoint
    family: Family
    vocabulary: Vocabulary

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(
            family=self.family.name,
            parameters=self.checkpoint.num_elements,
            vocabulary=self.vocabulary.size,
            mask_id=self.vocabulary.mask_id,
            tokenizer=self.vocabulary.fingerprint,
        )


def open_model(model: ModelSettings) -> Opened:
    """Raises TieError for a folder that no member can be made of."""
    checkpoint = open_checkpoint(model.path.expanduser())
    family = recognise(checkpoint.config, FAMILIES)
    vocab_rows = family.read_config(checkpoint.config)["vocab_size"]
    ids = read_token_ids(
        checkpoint, mask_token=family.mask_token, end_of_turn=family.end_of_turn, vocab_rows=vocab_rows
    )
    if ids.mask is None:
        raise TieError(f"{model.path} names no mask token: restore its tokenizer files")
    vocabulary = load_vocabulary(
        checkpoint.path, mask_id=ids.mask, eos_id=ids.eos, pad_id=ids.pad, vocab_rows=vocab_rows
    )
    return Opened(checkpoint, family, vocabulary)


def refusal_of_messages(vocabulary: Vocabulary) -> str | None:
    """Why a member takes no messages, but a prompt alone; None if it takes them."""
    try:
        vocabulary.render_chat([{"role": "user", "content": "hello"}])
    except PromptError as error:
        return str(error)
    return None


def tables(told: dict[str, Any]) -> list[Table]:
    """Of an inventory: the members, where they are (or why they cannot be used), and the ensembles."""
    return [_models_table(told["models"]), _folders_table(told["models"]), _ensembles_table(told["ensembles"])]


def _models_table(models: list[dict[str, Any]]) -> Table:
    table = plain_table("model", "family", "parameters", "dtype", "device", "vocabulary", "mask", "tokenizer")
    for entry in models:
        if entry["error"]:
            table.add_row(entry["name"], Text("unusable", "red"), "", entry["dtype"], entry["device"])
            continue
        counts = (f"{entry['vocabulary']:,}", str(entry["mask_id"]), entry["tokenizer"][:8])
        described = (entry["family"], count_text(entry["parameters"]), entry["dtype"], entry["device"])
        table.add_row(entry["name"], *described, *counts)
    return table


def _folders_table(models: list[dict[str, Any]]) -> Table:
    table = plain_table("model", "folder")
    for entry in models:
        path = Text(entry["path"], overflow="fold")
        table.add_row(entry["name"], path.append(f"\n{entry['error']}", "red") if entry["error"] else path)
    return table


def _ensembles_table(ensembles: list[dict[str, Any]]) -> Table:
    table = plain_table("ensemble", "models", "defaults")
    for entry in ensembles:
        defaults = ", ".join(f"{name} {value!r}" for name, value in entry["defaults"].items())
        table.add_row(entry["name"], ", ".join(entry["models"]), Text(defaults or "the task presets"))
    return table


def plain_table(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def count_text(number: int) -> str:
    """With one decimal and a letter: 8.0 B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)
