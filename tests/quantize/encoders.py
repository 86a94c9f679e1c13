"""A BERT of two layers in a folder, as sentence-transformers saves one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

WIDTH, INNER, HEADS, LAYERS = 64, 128, 4, 2
SINGLE = "model.safetensors"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PIECES += [chr(code) for code in range(ord("a"), ord("z") + 1)]
PIECES += [f"##{chr(code)}" for code in range(ord("a"), ord("z") + 1)]
PIECES += [*"0123456789", "'", "?", ".", ",", "the", "to", "you", "go", "me", "it"]

Floats = npt.NDArray[np.float32]


def bert_weights() -> dict[str, Floats]:
    """Weights as a fresh model has them, a channel that is larger than others, too."""
    random = np.random.default_rng(5)

    def matrix(n_out: int, n_in: int) -> Floats:
        return random.standard_normal((n_out, n_in), np.float32) / np.float32(8)

    found = {
        "embeddings.word_embeddings.weight": matrix(len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": matrix(64, WIDTH),
        "embeddings.token_type_embeddings.weight": matrix(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for n in range(LAYERS):
        at = f"encoder.layer.{n}"
        for name in ("query", "key", "value"):
            found[f"{at}.attention.self.{name}.weight"] = matrix(WIDTH, WIDTH)
            found[f"{at}.attention.self.{name}.bias"] = matrix(1, WIDTH)[0]
        sides = {"attention.output": (WIDTH, WIDTH), "intermediate": (INNER, WIDTH)}
        sides["output"] = (WIDTH, INNER)
        for name, (n_out, n_in) in sides.items():
            found[f"{at}.{name}.dense.weight"] = matrix(n_out, n_in)
            found[f"{at}.{name}.dense.bias"] = matrix(1, n_out)[0]
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name in norms:
        found[f"{name}.weight"] = np.ones(WIDTH, np.float32)
        found[f"{name}.weight"][3] = 4
        found[f"{name}.bias"] = np.zeros(WIDTH, np.float32)
    return found


def write_json(path: Path, found: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def save_encoder(folder: Path) -> Path:
    """Writes the whole folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(bert_weights(), folder / SINGLE, metadata={"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 64,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "type_vocab_size": 2,
            "vocab_size": len(PIECES),
        },
    )
    kinds = ("Transformer", "Pooling", "Normalize")
    write_json(
        folder / "modules.json",
        [
            {
                "path": f"{n}_{kind}" if n else "",
                "type": f"sentence_transformers.{kind}",
            }
            for n, kind in enumerate(kinds)
        ],
    )
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 48})
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    card = "---\nlicense: apache-2.0\n---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder
