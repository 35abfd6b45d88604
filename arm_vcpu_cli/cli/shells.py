"""Completion in shells: the words passed to them, and the scripts that process these.

Words come from files that are not trusted: a symbol may be called ``$(reboot)``. A shell must quote such a word on the
command line, and must not expand it on the way.
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
"""Readline adds the closing quote of a word unless it already ends with one, even one that is part of the word.

The parser's own script splits a word at blanks, expands patterns in it, and inserts it without quotes."""


class _Told(ShellComplete):
    """Encodes completions safely: the start of a file name is returned as typed, and may not be valid text."""

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
    """Register these classes with the parser for shell completion."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
