"""Records are indistinguishable from dataclasses from outside."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.record import Record, replace


class Point(Record):
    """A place."""

    x: int
    y: int = 2
    name: str = ""


class Other(Record):
    x: int
    y: int = 2
    name: str = ""


def test_values_are_given_by_place_by_name_and_by_default() -> None:
    assert (Point(1).x, Point(1).y, Point(1).name) == (1, 2, "")
    assert Point(1, 3, "a") == Point(1, name="a", y=3) == Point(x=1, y=3, name="a")


def test_equal_values_of_one_class_are_equal() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert hash(Point(1)) == hash(Point(1, 2))


def test_a_record_shows_its_fields() -> None:
    assert repr(Point(1, 3, "a")) == "Point(x=1, y=3, name='a')"


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, "a", 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})], ids=str
)
def test_values_that_do_not_fit_the_fields_are_refused(values: tuple[object, ...], named: dict[str, object]) -> None:
    make: type = Point
    with pytest.raises(TypeError, match=r"Point\(\)"):
        make(*values, **named)


def test_nothing_changes_a_record() -> None:
    point = Point(1)
    for name in ("x", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(point, name, 5)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(point, name)
    assert point == Point(1)


def test_a_record_can_be_copied_and_matched() -> None:
    point = Point(1, 3)
    assert copy.copy(point) == copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    match point:
        case Point(x, y=height):
            assert (x, height) == (1, 3)


def test_the_functions_of_dataclasses_know_records() -> None:
    assert [(field.name, field.type) for field in dataclasses.fields(Point(1))] == [
        ("x", "int"),
        ("y", "int"),
        ("name", "str"),
    ]
    assert dataclasses.fields(Point)[1].default == 2
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 2, "name": ""}
    point = Point(1)
    assert dataclasses.replace(point, y=5) == replace(point, y=5) == Point(1, 5)
    with pytest.raises(TypeError):
        replace(point, z=5)  # type: ignore[call-arg]
    assert dataclasses.is_dataclass(point)
    # Its default has no hash, which dataclasses take for something that changes.
    assert dataclasses.replace(Aarch64VCpuSetupConfig(), trap_wfi=False) == Aarch64VCpuSetupConfig(trap_wfi=False)
