"""The positions of keys in a TOML document, compared with the parser for documents of every shape."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.board.toml_places import Trail, find_places, line_of, with_numbers_as_written


def leaves(value: object, trail: Trail = ()) -> Iterator[tuple[Trail, object]]:
    """All that a parsed document holds, tables and arrays too, with the trail to it."""
    if trail:
        yield trail, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*trail, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*trail, index))


@pytest.mark.parametrize(
    ("text", "trail", "line", "written"),
    [
        ("a = 1", ("a",), 1, "1"),
        ("\n# a = 2\r\n\r\na = 0x4000_0000 # a", ("a",), 4, "0x4000_0000"),
        ("[t]\n\nkey = 'a # b'", ("t", "key"), 3, "'a # b'"),
        ("[ t . u ]\nkey = 1", ("t", "u"), 1, ""),
        ("[t.u]\nkey = 1", ("t",), 1, ""),
        ("[t]\nx = 1\n[t.u]\ny = 2", ("t",), 1, ""),
        ("[t.u]\ny = 2\n[t]\nx = 1", ("t", "x"), 4, "1"),
        ("a.b . 'c.d' = 1", ("a", "b", "c.d"), 1, "1"),
        ('"a\\"b" = 1\n"\\u0041" = 2', ("A",), 2, "2"),
        ('a = """\nb = 1\n"""\nb = 2', ("b",), 4, "2"),
        ('a = """x\\""""\nb = 2', ("b",), 2, "2"),
        ('a = """x"""""\nb = 2', ("b",), 2, "2"),
        ("a = '''\n[b]\n''''\nb = 2", ("b",), 4, "2"),
        ('a = "\\\\"\nb = 2', ("b",), 2, "2"),
        ("a = [\n1, # ]\n  [2,\n\n3],\n]\nb = 2", ("a", 1, 1), 5, "3"),
        ("a = [\n1, # ]\n  [2,\n\n3],\n]\nb = 2", ("b",), 7, "2"),
        ("a = { b.c = 1, 'd' = [ { e = 2 } ] }\nf = 3", ("a", "d", 0, "e"), 1, "2"),
        ("a = { b.c = 1, 'd' = [ { e = 2 } ] }\nf = 3", ("f",), 2, "3"),
        ("a = {}\nb = []\nc = 1", ("c",), 3, "1"),
        ("[[t]]\nx = 1\n[[t]]\nx = 2\n[t.u]\ny = 3", ("t", 1, "u", "y"), 6, "3"),
        ("[[t]]\nx = 1\n[[t]]\nx = 2\n[[t.v]]\ny = 3\n[[t.v]]\ny = 4", ("t", 1, "v", 1, "y"), 8, "4"),
        ("a = 1979-05-27 07:32:00Z # x\nb = -inf", ("a",), 1, "1979-05-27 07:32:00Z"),
        ("a = 1\n[1e3]\nb = 1", ("1e3", "b"), 3, "1"),
    ],
)  # fmt: skip
def test_a_key_stands_where_it_stands(text: str, trail: Trail, line: int, written: str) -> None:
    tomli.loads(text)
    assert find_places(text)[trail] == (line, written)


def test_what_is_missing_is_looked_for_where_its_table_is() -> None:
    places = find_places("x = 1\n[a.b]\nc = 1")
    assert line_of(places, ("a", "b", "c")) == 3
    assert line_of(places, ("a", "b", "d")) == 2
    assert line_of(places, ("a", "z", "d")) == 2
    assert line_of(places, ("y", "z")) is None
    assert line_of(places, ()) is None


def test_what_is_nested_as_deeply_as_the_parser_allows_is_no_trouble() -> None:
    for depth in (100, 300, 900, 5000):
        text = f"a = {'[' * depth}1{']' * depth}\nb = 1"
        try:
            tomli.loads(text)
        except (RecursionError, ValueError):
            continue
        places = find_places(text)
        assert places[("b",)].line == 2
        assert places[("a",) + (0,) * depth].text == "1"


# Documents that are written with the trails and lines of what is in them noted down ---------------------------------

KEYS = st.text(alphabet="ab1-_", min_size=1, max_size=2) | st.text(max_size=4)
BLANKS = st.sampled_from(["", " ", "\t", "  "])
NEWLINES = st.sampled_from(["\n", "\r\n", "\n\n", " # a = [ '\n", '\n# """\n  \n'])


def quoted(key: str) -> str:
    """A key as a basic string."""
    return '"' + "".join(f"\\U{ord(char):08x}" if not char.isalnum() or char > "~" else char for char in key) + '"'


class Written:
    """A document as it is written, and the line of each trail in it."""

    def __init__(self) -> None:
        self.text = ""
        self.lines: dict[Trail, int] = {}

    def note(self, trail: Trail) -> None:
        self.lines.setdefault(trail, self.text.count("\n") + 1)


@st.composite
def documents(draw: st.DrawFn) -> Written:
    out = Written()
    keys = draw(st.lists(KEYS.filter(lambda key: not any(0xD800 <= ord(c) < 0xE000 for c in key)), unique=True,
                         min_size=4, max_size=8))  # fmt: skip
    taken = iter(range(1 << 20))

    def write(text: str) -> None:
        out.text += text

    def write_key(key: str) -> None:
        styles = [quoted(key)]
        if key and key.isascii() and all(char.isalnum() or char in "-_" for char in key):
            styles.append(key)
        if key.isprintable() and "'" not in key:
            styles.append(f"'{key}'")
        write(draw(st.sampled_from(styles)))

    def write_scalar() -> None:
        kinds = [
            "0x4000_0000", "-17", "+5", "0b10", "0o17", "1_000", "1e5", "-inf", "nan", "3.25", "true", "false",
            "2024-01-02", "07:32:00", "1979-05-27 07:32:00Z", "'[a] # b = 1'", '"\\"]}#,"', "''", '""',
            '"""\n[x]\ny = 1\n"""', '"""a""b\\""""', '"""a"""""', "'''\n\"\"\" = [\n'''", "'''x''''", "''''''",
            '"""\\\n   a"""',
        ]  # fmt: skip
        write(draw(st.sampled_from(kinds)))

    def write_value(trail: Trail, depth: int, breaks: bool) -> None:
        kind = draw(st.sampled_from(["scalar", "scalar", "array", "inline"])) if depth else "scalar"
        if kind == "scalar":
            write_scalar()
            return
        count = draw(st.integers(0, 3))
        write("[" if kind == "array" else "{")
        for index in range(count):
            write(draw(NEWLINES) if breaks and kind == "array" and draw(st.booleans()) else draw(BLANKS))
            if kind == "array":
                out.note((*trail, index))
                write_value((*trail, index), depth - 1, breaks)
            else:
                write_pair(trail, depth - 1, breaks=False)
            write(draw(BLANKS))
            if index < count - 1:
                write(",")
        write("]" if kind == "array" else "}")

    def write_pair(trail: Trail, depth: int, breaks: bool) -> None:
        # The first key is one that there is not yet, so that what is written is valid.
        path = [f"k{next(taken)}", *draw(st.lists(st.sampled_from(keys), max_size=2))]
        for position, key in enumerate(path):
            out.note((*trail, *path[: position + 1]))
            write(draw(BLANKS) + "." + draw(BLANKS) if position else "")
            write_key(key)
        write(draw(BLANKS) + "=" + draw(BLANKS))
        write_value((*trail, *path), depth, breaks)

    def write_header(trail: Trail, names: list[str], is_array: bool) -> None:
        out.note(trail)
        write(draw(BLANKS) + ("[[" if is_array else "[") + draw(BLANKS))
        for position, name in enumerate(names):
            write(draw(BLANKS) + "." + draw(BLANKS) if position else "")
            write_key(name)
        write(draw(BLANKS) + ("]]" if is_array else "]"))

    for _ in range(draw(st.integers(0, 3))):
        write_pair((), 3, breaks=True)
        write(draw(NEWLINES))
    for key in keys[: draw(st.integers(0, 4))]:
        is_array = draw(st.booleans())
        for number in range(draw(st.integers(1, 3)) if is_array else 1):
            trail: Trail = (key, number) if is_array else (key,)
            out.note((key,))
            write_header(trail, [key], is_array)
            write(draw(NEWLINES))
            for _ in range(draw(st.integers(0, 2))):
                write_pair(trail, 2, breaks=True)
                write(draw(NEWLINES))
            if draw(st.booleans()):
                below = f"t{next(taken)}"
                nested = draw(st.booleans())
                inner: Trail = (*trail, below, 0) if nested else (*trail, below)
                out.note((*trail, below))
                write_header(inner, [key, below], nested)
                write(draw(NEWLINES))
                write_pair(inner, 1, breaks=True)
                write(draw(NEWLINES))
    return out


@settings(max_examples=400, deadline=None)
@given(documents())
def test_every_key_and_value_of_a_document_is_found_on_its_line(written: Written) -> None:
    document = tomli.loads(written.text)
    places = find_places(written.text)
    found = dict(leaves(document))
    assert set(places) == set(found)
    assert {trail: place.line for trail, place in places.items()} == written.lines
    for trail, value in found.items():
        text = places[trail].text
        if isinstance(value, (dict, list)):
            assert text == ""
        else:
            again = tomli.loads(f"key = {text}")["key"]
            assert again == value or value != value


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="[]{}=.,\"'#\n abc01-_e\\", max_size=80))
def test_any_text_that_is_a_document_has_the_places_of_all_that_is_in_it(text: str) -> None:
    try:
        document = tomli.loads(text)
    except ValueError:
        return
    assert set(find_places(text)) == set(dict(leaves(document)))


@pytest.mark.parametrize(
    ("message", "written", "said"),
    [
        ("8 bytes at 0x40000000 would overwrite LOAD at 0x40000000", "0x4000_0000", "8 bytes at 0x4000_0000 would"),
        ("0x400000000 is no place", "0x4000_0000", "0x400000000 is no place"),
        ("0x10 has no room", "16", "16 has no room"),
        ("0x10 has no room", '"a string"', "0x10 has no room"),
        ("0x10 has no room", "", "0x10 has no room"),
        ("0x0 has no room", "0" * 61, "0x0 has no room"),
    ],
)
def test_a_message_has_a_number_as_it_is_written(message: str, written: str, said: str) -> None:
    assert with_numbers_as_written(message, written).startswith(said)
