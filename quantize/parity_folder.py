"""The process in which a folder is run by transformers, to compare a GGUF file with it.

What only needs the file's header is compared here: its words and its chat template. All
weights stay in their files, mapped; those narrower than float32 are widened while they
are used, so that the limits are the same for every type and size. The libraries of the
extra are imported by the work itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError

from models.errors import HeadsideError
from quantize.child import Tell
from quantize.converter_process import (
    refuse_network,
    refuse_own_code,
)
from quantize.errors import QuantizeError
from quantize.gguf import Header, load_header
from quantize.hf_folder import CONFIG, folder_weights, load_json
from quantize.parity_texts import (
    CONVERSATIONS,
    CONVERT_AGAIN,
    GENERATION,
    LOOKALIKES,
    MOST_TOKENS,
    NASTY,
    READ,
    TALK,
    Conversation,
    apart,
)
from quantize.texts import told

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SPECIALS = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
"""What Hugging Face calls them, and what GGUF does."""


def run_folder(request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Returns what the folder makes of the texts; its logits are in ``logits``.

    Args:
        request: ``folder``, ``gguf``, ``logits``, ``threads``.
        tell: Told how many texts are read, and of how many.

    Raises:
        QuantizeError: As `check_parity`.
    """
    refuse_network()
    folder = Path(request["folder"])
    try:
        refuse_own_code()
        tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
        header = load_header(Path(request["gguf"]))
        _compare_words(tokenizer, header)
        tales = _compare_templates(tokenizer, header)
        read = _read(tokenizer, tales)
        _save_logits(request, [tokens for _, tokens in read], tell)
        return {
            "texts": list(_split(tokenizer)),
            "ends": _ends(tokenizer, folder, tales),
            "template_cases": len(tales),
            "read": read,
        }
    except HeadsideError:
        raise
    except ModuleNotFoundError as error:
        raise QuantizeError(
            "extra_missing",
            f"Comparing needs the package {error.name}, which is not installed.",
            "Install headside[quantize].",
        ) from error
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")[:400].rstrip(".")
        raise QuantizeError(
            "folder_unreadable",
            f"transformers cannot run {folder}: {type(error).__name__}: {first}.",
            "Does AutoModelForCausalLM load it, without trust_remote_code?",
        ) from error


def _compare_words(tokenizer: Any, header: Header) -> None:
    """Refuses a file whose words are not those of the folder."""
    listed = header.metadata.get("tokenizer.ggml.tokens")
    theirs = [str(word) for word in listed] if isinstance(listed, tuple) else []
    ours = tokenizer.convert_ids_to_tokens(range(max(len(theirs), len(tokenizer))))
    added = tokenizer.added_tokens_decoder
    for at, (our, their) in enumerate(zip_longest(ours, theirs)):
        # The converter fills gaps up, and writes added words as they are decoded.
        if our in (None, their) or (at in added and tokenizer.decode([at]) == their):
            continue
        raise QuantizeError(
            "parity_tokeniser",
            f"Token {at} is {our!r} in the folder and {their!r} in the file.",
            CONVERT_AGAIN,
        )


def _split(tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Yields how the folder splits texts."""
    named = {
        f"{word} in a text": f"Say {word} now,{word}{word}\n{word}"
        for word in dict.fromkeys(tokenizer.all_special_tokens)
    }
    kept = [
        word.content
        for word in tokenizer.added_tokens_decoder.values()
        if not word.special
    ]
    for name, text in {**NASTY, **LOOKALIKES, **named}.items():
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        back = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        ways = {"bare": tokens, "framed": tokenizer(text).input_ids}
        # Which words that are added, but not special, stand for themselves where
        # special ones do not, the converter decides by how they look.
        if name not in NASTY and not any(word in text for word in kept):
            ways["plain"] = tokenizer(
                text, add_special_tokens=False, split_special_tokens=True
            ).input_ids
        yield {"name": name, "text": text, "ways": ways, "is_back": back == text}


def _compare_templates(
    tokenizer: Any, header: Header
) -> list[tuple[Conversation, str]]:
    """Returns the conversations that both templates tell, and how."""
    found = []
    why = ""
    for case in CONVERSATIONS:
        ours, refusal = _told_by_folder(tokenizer, case)
        theirs, their_refusal = _told_by_file(header, case)
        if ours != theirs:
            raise QuantizeError(
                "parity_template",
                f"The chat templates tell {case.name} otherwise: "
                + apart(ours or refusal, theirs or their_refusal),
                "Was a template changed since? Convert the folder again.",
            )
        if ours:
            found.append((case, ours))
        why = why or their_refusal or "it tells nothing"
    if not found:
        raise QuantizeError(
            "parity_template",
            f"The chat template tells no conversation: {why}",
            "Mend `chat_template` in the folder's tokenizer_config.json.",
        )
    return found


def _told_by_folder(tokenizer: Any, case: Conversation) -> tuple[str, str]:
    """Returns what transformers makes of a conversation, or why it refuses."""
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in case.messages],
            tokenize=False,
            add_generation_prompt=case.awaits_reply,
            strftime_now=_today,
        )
    except (TemplateError, TypeError, ValueError) as error:
        return "", str(error)[:200]
    return str(text), ""


def _told_by_file(header: Header, case: Conversation) -> tuple[str, str]:
    """Returns what the file's template makes of a conversation, or why it refuses."""
    words = header.metadata.get("tokenizer.ggml.tokens")
    specials: dict[str, Any] = {"strftime_now": _today}
    for name, key in _SPECIALS.items():
        at = header.number(f"tokenizer.ggml.{key}_token_id")
        if at is not None and isinstance(words, tuple) and 0 <= at < len(words):
            specials[f"{name}_token"] = words[at]
    template = header.text("tokenizer.chat_template")
    try:
        text = told(template, case.messages, specials, awaits_reply=case.awaits_reply)
    except QuantizeError as error:
        return "", error.message
    return text, ""


def _today(_format: str) -> str:
    """Returns what the runtime gives templates that ask for the date."""
    return "today"


def _read(
    tokenizer: Any, tales: Sequence[tuple[Conversation, str]]
) -> list[tuple[str, list[int]]]:
    """Returns the names and tokens of what both models read."""
    read = [(name, tokenizer(text).input_ids) for name, text in READ.items()]
    for case, text in tales:
        if case.messages[-1] == TALK[-1]:
            tokens = tokenizer(text, add_special_tokens=False).input_ids
            read.append((case.name, tokens))
            break
    return [(name, tokens[:MOST_TOKENS]) for name, tokens in read]


def _ends(
    tokenizer: Any, folder: Path, tales: Sequence[tuple[Conversation, str]]
) -> dict[str, str]:
    """Returns who says so of each token that ends an answer, by its number."""
    ends = {}
    for name in (GENERATION, CONFIG):
        listed = load_json(folder / name) if (folder / name).is_file() else {}
        found = listed.get("eos_token_id")
        numbers = found if isinstance(found, list) else [found]
        ends.update({str(at): name for at in numbers if isinstance(at, int)})
        if ends:
            break
    if tokenizer.eos_token_id is not None:
        ends[str(tokenizer.eos_token_id)] = "the tokeniser"
    for case, text in tales:
        if not case.awaits_reply:
            rest = text.rpartition(case.messages[-1]["content"])[2].lstrip()
            first = tokenizer(rest, add_special_tokens=False).input_ids[:1]
            added = (tokenizer.added_tokens_decoder.get(at) for at in first)
            if any(word is not None and word.special for word in added):
                ends.setdefault(str(first[0]), "the chat template")
    return ends


def _save_logits(
    request: Mapping[str, Any], read: Sequence[Sequence[int]], tell: Tell
) -> None:
    """Writes (tokens, words) float32 of all texts, one after the other."""
    torch = import_module("torch")
    torch.set_num_threads(request["threads"])
    model = _load_model(Path(request["folder"]))
    kept = None
    n_done = 0
    with torch.inference_mode():
        for n, tokens in enumerate(read):
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0]  # (T, V)
            if kept is None:
                shape = sum(map(len, read)), logits.shape[-1]
                kept = np.lib.format.open_memmap(
                    request["logits"], "w+", np.float32, shape
                )
            kept[n_done : n_done + len(tokens)] = logits.float().numpy()
            n_done += len(tokens)
            tell(n + 1, len(read))


def _load_model(folder: Path) -> Any:
    """Returns the model in a folder, all of it there, its weights left in the files.

    Loaded in the type they are stored in, weights are mapped, not copied. Those of 16
    bits are widened to float32 one module at a time, while it runs. Where a folder
    mixes types, all of it is copied to float32.
    """
    torch, transformers = import_module("torch"), import_module("transformers")
    stored = {weight.type_ for weight in folder_weights(folder).values()}
    dtype = _DTYPES.get(stored.pop(), "float32") if len(stored) == 1 else "float32"
    model, told_ = transformers.AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=getattr(torch, dtype),
        attn_implementation="eager",
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    lost: Sequence[Any] = [*told_["missing_keys"], *told_["mismatched_keys"]]
    if lost:
        raise ValueError(f"it has no fitting {lost[0]}")
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if any(weight.dtype in (torch.float16, torch.bfloat16) for weight in own):
            _widen_in_use(module, own)
    return model.eval()


def _widen_in_use(module: Any, own: Sequence[Any]) -> None:
    """Has a module's weights be float32 from when it is run until it has run."""
    narrow = [weight.data for weight in own]

    def widen(_module: object, _inputs: object) -> None:
        for weight in own:
            weight.data = weight.data.float()

    def restore(_module: object, _inputs: object, _outputs: object) -> None:
        for weight, stored in zip(own, narrow, strict=True):
            weight.data = stored

    module.register_forward_pre_hook(widen)
    module.register_forward_hook(restore)
