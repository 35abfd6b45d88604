"""Random words of the groups of A64 (DDI 0487, C4.1), with registers that keep memory accesses inside a window.

LDFF1 and LDNF1 are not among them: which elements they load is up to the implementation (DDI 0487, C8.2, LDNF1B).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

BASES: Final = (27, 28)
"""They hold addresses in the window, and are written by nothing but write-back."""
OFFSET: Final = 26
"""It holds a small number."""
_PLAIN: Final = (*range(26), 29, 30)

GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "integer": (
            "xxx100010xxxxxxxxxxxxxnnnnnNNNNN",
            "xxx10000xxxxxxxxxxxxxxxxxxxNNNNN",
            "xxx100100xxxxxxxxxxxxxnnnnnNNNNN",
            "x00100100xxxxxxxxxxxxxnnnnnNNNNN",
            "xxx100101xxxxxxxxxxxxxxxxxxNNNNN",
            "xxx100110xxxxxxxxxxxxxnnnnnNNNNN",
            "x00100111x0mmmmmxxxxxxnnnnnNNNNN",
            "xxx01010xxxmmmmmxxxxxxnnnnnddddd",
            "xxx01011xx0mmmmmxxxxxxnnnnnddddd",
            "xxx01011001mmmmmxxx0xxnnnnnNNNNN",
            "xxx11010000mmmmm000000nnnnnddddd",
            "x0111010000mmmmmxxxxxxnnnnnxxxxx",
            "xx111010010mmmmmxxxxx0nnnnn0xxxx",
            "xx011010100mmmmmxxxx0xnnnnnddddd",
            "x0011011xxxmmmmmxaaaaannnnnddddd",
            "10011011xxxmmmmmxaaaaannnnnddddd",
            "x0011010110mmmmm00xxxxnnnnnddddd",
            "x0011010110mmmmmxxxxxxnnnnnddddd",
            "x101101011000000xxxxxxnnnnnddddd",
            "110110101100000100xxxxnnnnnNNNNN",
            "1101101011000001xxxxxx11111NNNNN",
        ),
        "float": (
            "00011110xx1mmmmmxxxxxxnnnnnddddd",
            "000111100x1mmmmmxxxx10nnnnnddddd",
            "000111101x1mmmmmxxxx10nnnnnddddd",
            "00011110xx1xxxxx100000nnnnnddddd".replace("xxxxx1", "xxxxxx"),
            "00011110xx1xxxxxx10000nnnnnddddd",
            "00011111xxxmmmmmxaaaaannnnnddddd",
            "x0011110xx1xxxxx000000nnnnnddddd",
            "x0011110xx0xxxxxxxxxxxnnnnnddddd",
            "x001111000xxxxxx000000nnnnnddddd",
        ),
        "simd": (
            "0xx01110xx1mmmmmxxxxx1nnnnnddddd",
            "0xx01110xx1mmmmmxxxxx1nnnnnddddd",
            "0xx01110xx1mmmmmxxxx00nnnnnddddd",
            "0xx01110xx10000xxxxx10nnnnnddddd",
            "0xx01110xx10000xxxxx10nnnnnddddd",
            "0xx01110xx11000xxxxx10nnnnnddddd",
            "0xx01110000xxxxx0xxxx1nnnnnddddd",
            "0xx0111100000xxxxxxxx1xxxxxddddd",
            "0xx011110xxxxxxxxxxxx1nnnnnddddd",
            "0xx011110xxxxxxxxxxxx1nnnnnddddd",
            "0xx01111xxxxxxxxxxxxx0nnnnnddddd",
            "0xx01111xxxxxxxxxxxxx0nnnnnddddd",
            "0x001110xx0mmmmm0xxx10nnnnnddddd",
            "0x101110000mmmmm0xxxx0nnnnnddddd",
            "0x001110000mmmmm0xxx00nnnnnddddd",
            "0xx01110xx0mmmmm1xxxx1nnnnnddddd",
            "0xx01110x10mmmmm00xxx1nnnnnddddd",
            "0xx01110x111100xxxxx10nnnnnddddd",
            "01x11110xx1mmmmmxxxxx1nnnnnddddd",
            "01x11110xx1mmmmmxxxxx1nnnnnddddd",
            "01x11110xx1mmmmmxxxx00nnnnnddddd",
            "01x11110xx10000xxxxx10nnnnnddddd",
            "01x11110xx11000xxxxx10nnnnnddddd",
            "01x11110000xxxxx0xxxx1nnnnnddddd",
            "01x111110xxxxxxxxxxxx1nnnnnddddd",
            "01x11111xxxxxxxxxxxxx0nnnnnddddd",
            "01x11110xx0mmmmm1xxxx1nnnnnddddd",
            "01x11110x10mmmmm00xxx1nnnnnddddd",
            "01x11110x111100xxxxx10nnnnnddddd",
            "01001110xx10100xxxxx10nnnnnddddd",
            "01011110xx0mmmmm0xxx00nnnnnddddd",
            "01011110xx10100xxxxx10nnnnnddddd",
            "11001110011mmmmm1x00xxnnnnnddddd",
            "110011100xxmmmmm0aaaaannnnnddddd",
            "11001110010mmmmm10xxxxnnnnnddddd",
            "11001110100mmmmmxxxxxxnnnnnddddd",
            "110011101100000010xxxxnnnnnddddd",
            "xxxx111xxxxxxxxxxxxxxxnnnnnddddd",
        ),
        "memory": (
            "xx111x00xx0xxxxxxxxxxxbbbbbttttt",
            "xx111x01xx000000xxxxxxbbbbbttttt",
            "xx111x00xx1oooooxxxx10bbbbbttttt",
            "xx101x0xxxxxxxxxxtttttbbbbbttttt",
            "xx101x0xxxxxxxxxxtttttbbbbbttttt",
            "0x001100xx0oooooxxxxxxbbbbbttttt",
            "0x001101xxxoooooxxxxxxbbbbbttttt",
            "0x0011010xx00000xxxxxxbbbbbttttt",
            "0x0011011xx11111xxxxxxbbbbbttttt",
            "0x001100xx011111xxxxxxbbbbbttttt",
            "xx001000xxxtttttxtttttbbbbbttttt",
            "xx111000xx1tttttxxxx00bbbbbttttt",
            "xx011001xx0xxxxxxxxx00bbbbbttttt",
            "1x111000xx1xxxxxxxxxx1bbbbbttttt",
            "11011001xx1xxxxxxxxxxxbbbbbttttt",
        ),
        "sve": (
            "0xx0010xxxxxxxxxxxxxxxnnnnnNNNNN",
            "0xx0010xxxxxxxxxxxxxxxnnnnnNNNNN",
            "01100101xx0mmmmm0xxxxxnnnnnNNNNN",
            "01100101xx0xxxxx1xxxxxnnnnnNNNNN",
            "01100101xx1mmmmmxxxxxxnnnnnNNNNN",
            "00000100xx0xxxxxxxxxxxnnnnnNNNNN",
            "0010010xxx0mmmmmxxxxxxnnnnn0xxxx",
            "00100101xx1xxxxxxxxxxxnnnnnNNNNN",
            "1010010xxxx0xxxx1x1xxxbbbbbttttt",
            "1010010xxxxoooooxx0xxxbbbbbttttt",
            "1110010xxxxxxxxx111xxxbbbbbttttt",
            "1110010xxxxooooo01xxxxbbbbbttttt",
            "1000010110xxxxxx0x0xxxbbbbbttttt",
            "1110010110xxxxxx0x0xxxbbbbbttttt",
            "1000010xx1xxxxxx1xxxxxbbbbbttttt",
        ),
        "system": (
            "110101010011101101000x1000xNNNNN".replace("0x1000x", "0100xxx"),
            "110101010001101101000100001ttttt",
            "110101010001101101000100000ttttt",
            "11010101000110110100001x0x0ttttt",
            "110101010000xxxx0100xxxxxxx11111",
            "110101010000001100100xxxxxx11111",
            "11010101000000110011xxxxxxx11111",
            "110101010011100000000xxxxxxNNNNN",
            "11010101000010110111010000x11011",
            "1101010100111011110100000xxNNNNN",
            "11010101000110111101000001xttttt".replace("01x", "010"),
        ),
    }
)
"""0, 1 and x (either) as they are; n, m, a, d, t registers, N and D one that no program relies on (never SP), b a base,
o the offset."""


def word_of(random: Random, group: str) -> int:
    """A word of a group, allocated or not."""
    pattern = random.choice(GROUPS[group])
    word = at = 0
    while at < 32:
        kind = pattern[at]
        if kind in "01x":
            word = word << 1 | (random.getrandbits(1) if kind == "x" else int(kind))
            at += 1
            continue
        word = word << 5 | _register(random, kind)
        at += 5
    return word


def _register(random: Random, kind: str) -> int:
    choices: dict[str, tuple[int, ...]] = {
        "b": (*BASES, 31),
        "o": (OFFSET,),
        "N": _PLAIN,
        "d": (*_PLAIN, 31),
        "t": (*_PLAIN, 31),
    }
    register: int = random.choice(choices.get(kind, (*_PLAIN, 31, *BASES)))
    return register
