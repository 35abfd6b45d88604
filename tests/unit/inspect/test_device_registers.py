"""Registers of devices, explained by the names that traces and reports give them."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.inspect.explained import explain_word, explained_lines


def lines(word: str) -> list[str]:
    return list(explained_lines(explain_word(word), brief=True))


@pytest.mark.parametrize(
    ("word", "heading", "last"),
    [
        ("GICD_CTLR=0x52", "GICD_CTLR = 0x52  register of the Distributor of a GICv3 at offset 0x0", "EnableGrp1  1"),
        ("GICv2.GICD_CTLR=1", "GICD_CTLR = 0x1  register of the Distributor of a GICv2 at offset 0x0", "EnableGrp0  1"),
        (
            "gicr_waker=6",
            "GICR_WAKER = 0x6  register of a Redistributor of a GICv3 at offset 0x14",
            "ProcessorSleep  1",
        ),
        (
            "GICR[0]_WAKER=6",
            "GICR_WAKER = 0x6  register of a Redistributor of a GICv3 at offset 0x14",
            "ProcessorSleep  1",
        ),
        ("GICD_ISPENDR1=2", "GICD_ISPENDR1 = 0x2  register of the Distributor of a GICv3 at offset 0x204", "INTID 33."),
        ("GICC_IAR=0x3ff", "GICC_IAR = 0x3ff  register of the CPU interface of a GICv2 at offset 0xc", "none."),
        ("UARTFR=0x90", "PL011.UARTFR = 0x90  register of a PL011 at offset 0x18", "RXFE   1"),
        ("PL011.UARTDR=0x41", "PL011.UARTDR = 0x41  register of a PL011 at offset 0x0", "'A'."),
        ("RTCDR=0x5f000000", "PL031.RTCDR = 0x5f000000  register of a PL031 at offset 0x0", "2020-07-04 04:05:20 UTC."),
    ],
)
def test_a_value_of_a_device_register_is_explained(word: str, heading: str, last: str) -> None:
    shown = lines(word)
    assert shown[0] == heading
    assert shown[-1].endswith(last)


def test_a_device_register_without_a_value_has_its_fields() -> None:
    shown = lines("GICD_CTLR")
    assert shown[0] == "GICD_CTLR  register of the Distributor of a GICv3 at offset 0x0"
    assert any(line.split()[1:2] == ["DS"] for line in shown)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("GICD_NOTHING=1", "there is no register GICD_NOTHING"),
        ("UARTIBRD=0x10000", "0x10000 does not fit in the 16 bits of PL011.UARTIBRD"),
        ("GICD_ISPENDR1=0x100000000", "0x100000000 does not fit in the 32 bits of GICD_ISPENDR1"),
    ],
)
def test_what_no_device_register_can_be_is_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain_word(word)
