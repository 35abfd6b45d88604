"""The survey of a kernel image."""

from __future__ import annotations

import gzip

from arm_vcpu_cli.guest.linux_survey import DRIVERS, USES, survey_linux

from .linux_writer import image

CONFIG = b"""#
# Automatically generated file
CONFIG_ARM64_VA_BITS=52
# CONFIG_ARM64_MTE is not set
CONFIG_ARM64_SVE=y
CONFIG_LOCALVERSION="-test"
CONFIG_SERIAL_AMBA_PL011=m
"""


def test_a_kernel_says_what_it_is() -> None:
    body = b"Linux version %s (%s)\0Linux version 6.1.0-56-arm64 (me@here) (gcc)\0"
    found = survey_linux(image(flags=0b0100, image_size=0x20_0000, body=body), "gzip")
    assert (found.version, found.container, found.image_size, found.is_efi) == (
        "6.1.0-56-arm64",
        "gzip",
        0x20_0000,
        True,
    )
    assert (found.flags.PAGE_SIZE, found.flags.PHYS_BASE, found.flags.BE) == (2, 0, 0)
    assert (found.options, found.uses, found.drivers) == (None, (), ())


def test_the_built_in_configuration_is_read_as_far_as_it_matters() -> None:
    found = survey_linux(image(body=b"junkIKCFG_ST" + gzip.compress(CONFIG) + b"IKCFG_ED"), None)
    assert found.options == {"ARM64_VA_BITS": "52", "ARM64_SVE": "y", "SERIAL_AMBA_PL011": "m"}


def test_the_values_of_options_are_short_and_fit_to_be_printed() -> None:
    hostile = b'CONFIG_ARM64_VA_BITS="\x1b]0;x\x07\xc2\x9b\xe2\x80\xae\xff"\nCONFIG_ARM64_SVE=' + b"y" * 5000 + b"\n"
    found = survey_linux(image(body=b"IKCFG_ST" + gzip.compress(hostile)), None)
    assert found.options == {"ARM64_VA_BITS": "\ufffd]0;x\ufffd\ufffd\ufffd\ufffd", "ARM64_SVE": "y" * 64}


def test_a_damaged_configuration_is_as_good_as_none() -> None:
    packed = gzip.compress(CONFIG)
    assert survey_linux(image(body=b"IKCFG_ST" + packed[:20]), None).options is None
    assert survey_linux(image(body=b"IKCFG_ST"), None).options is None


def test_drivers_and_features_are_known_by_their_strings() -> None:
    body = DRIVERS["GICv3"] + b"arm,pl0110\0" + USES["FEAT_PAN3"] + b"\0E0PDx\0"
    found = survey_linux(image(body=body), None)
    assert found.drivers == ("GICv3",)
    assert found.uses == ("FEAT_PAN", "FEAT_PAN3"), "a kernel that knows the newer one knows the older one"
