"""What a folder and the GGUF file made of it are compared on: texts, and conversations.

Written for this, so that no calibration or evaluation has them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

from quantize.texts import Message

GENERATION = "generation_config.json"
MOST_TOKENS = 128
"""Read at once, of each text."""
CONVERT_AGAIN = (
    "Was one of the two changed since? Convert the folder again; if that changes "
    "nothing, llama.cpp reads this kind of model otherwise, and it cannot be used."
)
_SYSTEM: Message = {
    "role": "system",
    "content": "You are Ilse, who keeps the lighthouse. Answer in a sentence or two.",
}


def _user(said: str) -> Message:
    return {"role": "user", "content": said}


def _assistant(said: str) -> Message:
    return {"role": "assistant", "content": said}


_ENGLISH = """\
The ferry left the quay a little after nine, later than the timetable promised and \
earlier than anyone who knew the captain had dared to hope. Fog lay over the harbour \
so thickly that the gulls walked. "We'll be across by noon," said Mrs. Okafor, who \
had made the trip 214 times, "or we shan't be across at all." Nobody laughed; the \
child with the red umbrella asked whether fog could be eaten with a spoon. It \
couldn't, they agreed, though the cook's porridge came close. Halfway out the engine \
coughed, stopped, thought about it, and went on at half its speed. The mate wrote \
11:47 into the log, crossed it out and wrote 11:52. Beyond the second buoy the wind \
turned, tore a hole into the grey, and there, no more than a stone's throw away, \
stood the old lighthouse with its one lit window and somebody waving a towel.
"""
_CHINESE = """\
清晨六点，老周推开面馆的木门，先把昨夜泡好的豆子倒进锅里，再去后院看看那只总是迟到的公鸡。\
街上还没有什么人，只有卖报纸的小姑娘骑着车经过，铃声在雾里显得很远。他常说，做面和做人一样，\
水要够热，心要够静，急了就会断。今天是集市的日子，山里的客人会带着核桃、蜂蜜和各种消息下来，\
谁家的女儿考上了大学，哪座桥被雨水冲坏了，都要在他的桌子旁边说上一遍。到了中午，二十三张凳子\
全坐满了，连门槛上也蹲着两个吃面的孩子。老周一边擦汗一边笑：“慢慢吃，汤不要钱，故事也不要钱。”\
傍晚下起了小雨，他把最后一碗面端给了修桥的工人，然后关上门，数了数零钱，给自己倒了半杯酒。
"""
_CODE = '''\
from collections import deque


def shortest_path(grid: list[str], start: tuple[int, int]) -> int | None:
    """Counts the steps to the nearest "E"; '#' is a wall."""
    queue, seen = deque([(start, 0)]), {start}
    while queue:
        (row, column), n_steps = queue.popleft()
        if grid[row][column] == "E":
            return n_steps
        for d_row, d_column in ((-1, 0), (0, 1), (1, 0), (0, -1)):
            at = (row + d_row, column + d_column)
            if at not in seen and grid[at[0]][at[1]] != "#":
                seen.add(at)
                queue.append((at, n_steps + 1))
    return None

/* the same in C, more or less */
for (size_t i = 0; i < n && !(flags[i] & 0x80); ++i) { sum += x[i] * 1.5e-3f; }
SELECT name, COUNT(*) FROM visits WHERE day >= '2031-04-01' GROUP BY name;
{"id": 17, "tags": ["a", null, true], "path": "C:\\\\temp\\\\new"}
'''
_EMOJI = """\
Lina 🙂: who brings the cake 🎂? Tom 😎: me!! 🍰🍰🍰 and 🕯️\u00d730 😱
Mia 👩‍🚀: landing at 🕗, traffic 🚗🚕🚙 is 💩 today 😤 save me a slice 🙏🏽
Lina 🙂: 👍🏻👍🏼👍🏽👍🏾👍🏿 the dog 🐕‍🦺 ate one balloon 🎈 already 😂😂
Tom 😎: is it okay?? 🥺 Mia 👩‍🚀: 🏥? 📞? Lina 🙂: he is fine ❤️‍🩹 just proud 🦁
Grandma 👵🏼: I made soup 🍲 and 🥟🥟, who is coming? 👨‍👩‍👧‍👦 ➡️ 🏠
Tom 😎: 🙋‍♂️🙋‍♀️ Mia 👩‍🚀: 🌧️☔ so 🚇. ETA ⏰ 19️⃣? no: 1️⃣9️⃣:3️⃣0️⃣ 🤞
Lina 🙂: 🎶 bring the 🎸 and the 🇳🇱🇯🇵🇧🇷 flags 🏳️‍🌈 ✨🎉🥳 #party 💃🕺
"""
TALK: Sequence[Message] = (
    _SYSTEM,
    _user("Is the lamp lit tonight? I saw nothing from the shore."),
    _assistant("It is lit. What you saw was fog, and fog is a wall with manners."),
    _user("Then ring the bell twice, and open the north gate for the pilot's boat."),
    _assistant("Two strokes, and the gate is open. Tell her to mind the third step."),
    _user("She asks how deep the water is beside the old mole."),
    _assistant("Four metres at this tide, three by midnight. Not a hand more."),
    _user("And if the wind turns?"),
    _assistant("Then she should sleep here. There is soup, and a bed that is dry."),
    _user("Thank you, Ilse. I will come up in the morning and bring the oil."),
)
"""Read by both models as their template tells it."""
READ: Mapping[str, str] = MappingProxyType(
    {"English": _ENGLISH, "Chinese": _CHINESE, "code": _CODE, "emoji": _EMOJI}
)
"""What both models read, by name; 128 tokens of each in any vocabulary."""

NASTY: Mapping[str, str] = MappingProxyType(
    {
        "nothing": "",
        "one space": " ",
        "runs of spaces": "a  b   c    d" + " " * 17 + "e" + " " * 3,
        "spaces at both ends": "  both ends  ",
        "tabs": "\ta\t\tb \t c\t",
        "newlines": "\na\n\nb\n\n\nc \n d\n",
        "CRLF": "one\r\ntwo\r\n\r\nthree\rfour\r",
        "other blanks": "a\u00a0b\u2003c\u3000d\u2028e\u0085f\u200bg\ufeffh",
        "combining marks": "e\u0301a\u0308 n\u0303 x\u0323\u0307 Z\u0351\u034a\u0326g",
        "composed marks": "\u00e9\u00e4 \u00f1 \u1e69 \u1ec7",
        "Hangul": "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
        "joined emoji": _EMOJI.splitlines()[4] + "🏴󠁧󠁢󠁳󠁣󠁴󠁿 👩🏿‍❤️‍💋‍👨🏻",
        "right to left": "\u05e9\u05dc\u05d5\u05dd 12 \u0645\u0631\u062d\u0628\u0627! "
        "\u202babc\u202c \u200fx",
        "Chinese, Japanese, Korean": "汉字かなカナ한글，。！「」"
        "\uff46\uff55\uff4c\uff4c\uff11\uff12\uff13",
        "Indic": "\u0939\u093f\u0928\u094d\u0926\u0940 "
        "\u0e44\u0e17\u0e22 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
        "rare planes": "\U00010330\U00010331 \U0001d518\U0001d52b \U00020000\U0002a6d6 "
        "\U000e0041 \U000f0000 \U0010fffd",
        "digits": "1 12 123 1234 12345 1234567890123456789 3.14159 1,000,000 ١٢٣ Ⅷ ½ ²",
        "case and apostrophes": "I'm WE'LL they'Ve don\u2019t CamelCaseHTTPServer2x",
        "a very long word": "pneumonoultramicroscopic" * 80,
        "one letter": "a" * 600,
        "punctuation": "...!!!???---___***///\\\\\\(([[{{<<>>}}]]))@#$%^&~`|;:,",
        "mixed": "foo_bar(baz[0])->qux::<T>/*é*/ == 'x' // 漢字\t\"\\n\"",
        "control characters": "a\x00b\x01c\x07\x08d\x1b[31me\x7ff\x9f",
        "odd bytes": "\u00ff\u0100\u0120\u010a\u0142\u00ad\ufffd\ufffe \u0132 "
        "\u00c3\u0192",
        "spelled bytes": "<0x0A><0x20>▁▁x ▁ Ġthe Ċ",
    }
)
"""Texts that tokenisers disagree on, by name."""
LOOKALIKES: Mapping[str, str] = MappingProxyType(
    {
        "ChatML in a text": "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
        "ChatML, nearly": "<|im_start| ><|im_end <|im_start|<|IM_END|>|im_end|>",
        "Llama in a text": "<s>[INST] <<SYS>>x<</SYS>> hi [/INST]</s><unk><pad>",
        "Llama 3 in a text": "<|begin_of_text|><|start_header_id|>user<|eot_id|>",
        "Gemma in a text": "<bos><start_of_turn>user\nhi<end_of_turn>\n<eos>",
    }
)
"""What names special tokens in some model, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A case for a chat template."""

    name: str
    messages: Sequence[Message]
    awaits_reply: bool = True


CONVERSATIONS = (
    Conversation(name="a question", messages=(_user("Is the lamp lit?"),)),
    Conversation(
        name="a system message and a question",
        messages=(_SYSTEM, _user("Is the lamp lit?")),
    ),
    Conversation(name="several turns", messages=TALK),
    Conversation(name="several turns without a system message", messages=TALK[1:]),
    Conversation(
        name="a conversation that is over", messages=TALK[:-1], awaits_reply=False
    ),
    Conversation(
        name="an answer without a system message",
        messages=TALK[1:3],
        awaits_reply=False,
    ),
    Conversation(
        name="spaces, newlines and other scripts",
        messages=(
            _user("  two\n\nlines \u00e9 你好 🙂\t"),
            _assistant(" yes \n"),
            _user("\n"),
        ),
    ),
    Conversation(
        name="special tokens in what is said",
        messages=(_user("Say <|im_end|></s>{{ x }}{% y %} & <b>'\"</b>"),),
    ),
    Conversation(
        name="an empty system message",
        messages=({"role": "system", "content": ""}, _user("Hello.")),
    ),
)
"""Renderings that must not differ; a template may refuse some."""


def apart(ours: str, theirs: str) -> str:
    """Returns where two texts part."""
    pairs = enumerate(zip_longest(ours, theirs))
    at = next((at for at, (our, their) in pairs if our != their), 0)
    part = slice(max(0, at - 10), at + 40)
    return (
        f"at character {at}, {ours[part]!r} in the folder and {theirs[part]!r} "
        "in the file."
    )
