"""Sentence encoders beside the one that they came from, on the same sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.pack_file import pack_names
from quantize.artifact import Way
from quantize.child import Tell, in_silence
from quantize.encoder.building import build_encoder
from quantize.encoder.making import standard
from quantize.encoder.publishing import MODEL
from quantize.encoder.sentences import load_sentences
from quantize.encoder.source import load_encoder, read_weights
from quantize.encoder.vectors import Reader
from quantize.texts import Use


def compared(
    reference: Path,
    models: Mapping[str, Path],
    *,
    evaluation: Path | None,
    threads: int,
    tell: Tell,
) -> list[Way]:
    """Returns how far the vectors of each model are from a reference's.

    Args:
        reference: A Hugging Face folder.
        models: Folders that `quantize encoder` made, by name.
        evaluation: A sentence a line; those of the packs where None.
        threads: How many work.
        tell: Told how many models are done.

    Raises:
        HeadsideError: A model or the sentences cannot be used.
    """
    encoder = load_encoder(reference)
    sentences = load_sentences(pack_names(), evaluation=evaluation)
    texts = sentences.texts(Use.EVALUATION)
    source = build_encoder(encoder.shape, read_weights(encoder, in_silence))
    first = standard(
        Reader(source, encoder.pieces, threads=threads),
        sentences,
        Use.EVALUATION,
        texts,
    )
    examples = [one.text for one in sentences.examples]
    found = []
    for n, (name, folder) in enumerate(models.items()):
        tell(n, len(models))
        file = folder / MODEL
        reader = Reader(file, encoder.pieces, threads=threads)
        loss = first.loss(reader.alone(texts), reader.alone(examples))
        found.append(
            Way(name=name, n_bytes=file.stat().st_size, findings=loss.findings())
        )
    return found
