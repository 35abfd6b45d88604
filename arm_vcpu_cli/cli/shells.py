"""Completion in shells: what they are given, and what they do with it.

Words come from files that are not trusted: a symbol may be called ``$(reboot)``. A shell must put such a word on
the command line in quotes, and must not look into it on its way there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from arm_vcpu_cli.printable import printable_path

_BASH: Final = r"""%(complete_func)s() {
    local IFS=$'\n'
    local response line value

    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")

    COMPREPLY=()
    while IFS= read -r line; do
        value=${line#*,}
        case ${line%%%%,*} in
            dir)
                compopt -o dirnames
                ;;
            file)
                compopt -o default
                ;;
            plain)
                case ${COMP_WORDS[COMP_CWORD]} in
                    \'*)
                        value=${value//\'/"'\\''"}
                        [[ $value == *\' ]] && value+=\'
                        ;;
                    \"*)
                        value=${value//\\/'\\'}
                        value=${value//\"/'\"'}
                        value=${value//\$/'\$'}
                        value=${value//\`/'\`'}
                        value=${value//!/"\"'!'\""}
                        [[ $value == *\" ]] && value+=\"
                        ;;
                    *)
                        printf -v value '%%q' "$value"
                        ;;
                esac
                COMPREPLY+=("$value")
                ;;
        esac
    done <<< "$response"

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
"""Readline adds the quote that ends a word unless there is one already, also if that is part of the word.

The parser's own script splits a word at blanks, expands what is a pattern in it, and puts it down without quotes."""


class _Told(ShellComplete):
    """Words as they can be written: the beginning of a file's name, which comes back as it was typed, need not be
    text."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        return [CompletionItem(printable_path(item.value), item.type, item.help) for item in found]


class _Bash(_Told, BashComplete):
    source_template = _BASH


class _Zsh(_Told, ZshComplete):
    pass


class _Fish(_Told, FishComplete):
    pass


SHELLS: Final[Mapping[str, type[ShellComplete]]] = MappingProxyType({"bash": _Bash, "zsh": _Zsh, "fish": _Fish})


def register() -> None:
    """Have the parser answer shells by way of these classes."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
