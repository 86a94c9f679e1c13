"""What kind of encoder a folder holds, and by what names its weights go there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Pooling(StrEnum):
    """How the vectors of pieces become one."""

    MEAN = "mean"
    CLS = "cls"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNames:
    """Names within a layer; each stands for a weight and a bias."""

    query: str
    key: str
    value: str
    attended: str
    """What follows the attention."""
    attended_norm: str
    widened: str
    narrowed: str
    narrowed_norm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The names of an architecture's weights and settings."""

    words: str
    positions: str
    types: str
    """Empty where it tells no sentences apart."""
    norm: str
    layer: str
    """With ``{}`` for its number."""
    names: LayerNames
    prefix: str
    """That some folders put before every name."""
    settings: tuple[str, str, str, str, str]
    """Width, layers, heads, inner width and activation in ``config.json``."""


BERT = Family(
    words="embeddings.word_embeddings.weight",
    positions="embeddings.position_embeddings.weight",
    types="embeddings.token_type_embeddings.weight",
    norm="embeddings.LayerNorm",
    layer="encoder.layer.{}",
    names=LayerNames(
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attended="attention.output.dense",
        attended_norm="attention.output.LayerNorm",
        widened="intermediate.dense",
        narrowed="output.dense",
        narrowed_norm="output.LayerNorm",
    ),
    prefix="bert.",
    settings=(
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
    ),
)
DISTILBERT = Family(
    words="embeddings.word_embeddings.weight",
    positions="embeddings.position_embeddings.weight",
    types="",
    norm="embeddings.LayerNorm",
    layer="transformer.layer.{}",
    names=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attended="attention.out_lin",
        attended_norm="sa_layer_norm",
        widened="ffn.lin1",
        narrowed="ffn.lin2",
        narrowed_norm="output_layer_norm",
    ),
    prefix="distilbert.",
    settings=("dim", "n_layers", "n_heads", "hidden_dim", "activation"),
)
FAMILIES = {"bert": BERT, "distilbert": DISTILBERT}
"""By ``model_type``. What others compute is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of an encoder, and what it does at its end."""

    family: Family
    width: int
    n_layers: int
    n_heads: int
    n_inner: int
    n_words: int
    n_positions: int
    epsilon: float
    """Of its layer norms."""
    pooling: Pooling
    max_pieces: int
    """Of a sentence, beginning and end included."""
