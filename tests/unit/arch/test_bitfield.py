"""Fields and registers: what a declaration accepts, and that values survive encoding and decoding."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.layouts import LAYOUTS


class Sample(Register):
    WIDTH = 16
    HIGH = Field(15, 12)
    KIND = Field(11, 6, values={0x07: "seven", 0: "nothing"})
    SMALL = Field(3, 2, values={1: "one"})
    FLAG = Field(0)


def test_fields_read_their_bits() -> None:
    value = Sample(0xA1C9)
    assert (value.HIGH, value.KIND, value.SMALL, value.FLAG) == (0xA, 0x07, 2, 1)


def test_fields_are_listed_from_high_to_low() -> None:
    assert [field.name for field in Sample.fields()] == ["HIGH", "KIND", "SMALL", "FLAG"]
    assert list(Sample(0).as_dict()) == ["HIGH", "KIND", "SMALL", "FLAG"]


def test_of_and_replace_set_the_named_fields_and_keep_undeclared_bits() -> None:
    assert Sample.of(HIGH=0xA, FLAG=1) == 0xA001
    changed = Sample(0x0030).replace(SMALL=3)
    assert changed == 0x003C
    assert isinstance(changed, Sample)


def test_describe_names_what_is_set() -> None:
    assert Sample.of(KIND=7, SMALL=1, FLAG=1).describe() == "KIND=0x07 (seven) SMALL=1 (one) FLAG=1"
    assert Sample.of(HIGH=0xF, KIND=0x3F, SMALL=3).describe() == "HIGH=0xf KIND=0x3f(?) SMALL=3(?)"
    assert Sample(0x30).describe() == "0"


def test_a_value_can_not_be_changed_in_place() -> None:
    value = Sample(1)
    with pytest.raises(AttributeError):
        value.FLAG = 0  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        value.other = 0  # type: ignore[assignment]


def test_values_survive_copying_and_pickling() -> None:
    value = Sample(0xA1C9)
    for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert isinstance(twin, Sample)


@pytest.mark.parametrize("number", [-1, 1 << 16])
def test_a_value_beyond_the_register_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Sample(number)


@pytest.mark.parametrize("fields", [{"FLAG": 2}, {"HIGH": -1}, {"MISSING": 0}])
def test_a_field_value_that_does_not_fit_and_an_unknown_field_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Sample.of(**fields)


def test_overlapping_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        type("Bad", (Register,), {"A": Field(7, 4), "B": Field(4)})


def test_a_field_beyond_the_register_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        type("Bad", (Register,), {"WIDTH": 8, "A": Field(8)})


def test_a_field_that_hides_a_method_is_refused() -> None:
    with pytest.raises(ValueError, match="taken"):
        type("Bad", (Register,), {"replace": Field(0)})


def test_a_field_with_swapped_bits_or_a_wide_value_name_is_refused() -> None:
    with pytest.raises(ValueError, match="wrong order"):
        Field(3, 4)
    with pytest.raises(ValueError, match="does not fit"):
        Field(1, 0, values={4: "four"})


def test_a_subclass_inherits_fields_and_may_replace_one() -> None:
    class More(Sample):
        FLAG = Field(1)

    assert More(0b10).FLAG == 1
    assert [field.name for field in More.fields()] == ["HIGH", "KIND", "SMALL", "FLAG"]


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 2**64 - 1))
def test_every_layout_takes_a_value_apart_and_puts_it_together(name: str, word: int) -> None:
    layout = LAYOUTS[name]
    value = layout(word)
    assert layout(0).replace(**value.as_dict()) == sum(
        (word >> field.lsb & field.mask) << field.lsb for field in layout.fields()
    )
    assert value.replace(**value.as_dict()) == word
    assert value.describe()
