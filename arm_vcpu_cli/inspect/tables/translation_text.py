"""A translation as lines of text, and as an object for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.fieldvalues import SHAREABILITY
from arm_vcpu_cli.arch.translation.descriptor import TABLE_OR_PAGE, VALID
from arm_vcpu_cli.inspect.tables.both_stages import Stage, Step, Translated
from arm_vcpu_cli.sizes import format_size

_INPUTS: Final = ("", "IPA", "PA")
"""The kind of address of each stage's descriptors; stage 2 translates those of stage 1."""
_LAST_STAGE: Final = 2
_OUTPUTS: Final = ("", "IPA", "PA")


def translation_lines(translated: Translated) -> Iterator[str]:
    """Each stage with its descriptors, and the result."""
    for stage in (translated.stage1, translated.stage2):
        if stage is not None:
            is_last = stage.number == _LAST_STAGE
            yield from _stage_lines(stage, translated.trapped_to if is_last else "")
            if is_last and translated.absent:
                yield f"  QEMU's virt board has {translated.absent} there; this machine does not"
    attributes = attributes_text(translated)
    if attributes:
        end = "" if translated.paddr is None else f"PA {translated.paddr:#x}, "
        yield f"both stages: {end}{attributes}" if translated.stage1 is not None else f"{end}{attributes}"


def _stage_lines(stage: Stage, trapped_to: str) -> Iterator[str]:
    kind = "VA" if stage.number == 1 else "IPA"
    yield f"stage {stage.number}, {kind} {stage.input:#x}: {stage.controls}"
    for step in stage.steps:
        yield f"  {_step_line(stage.number, step, trapped_to)}"
        if step.fields:
            yield "          " + " ".join(f"{name}={text}" for name, text in step.fields)
    if stage.output is not None:
        size = f", {format_size(stage.size)} {stage.steps[-1].kind}" if stage.steps else ""
        yield f"  -> {_OUTPUTS[stage.number]} {stage.output:#x}{size}"
    elif trapped_to:
        yield f"  -> trapped to {trapped_to}"
    else:
        yield f"  -> {fault_text(stage)}"


def fault_text(stage: Stage) -> str:
    """``translation fault, level 1, of stage 1 (DFSC 0x05)``."""
    return f"{stage.fault}, of stage {stage.number} (fault status {stage.fault_status:#04x})"


def _step_line(number: int, step: Step, trapped_to: str) -> str:
    place = f"level {step.level}  {_INPUTS[number]} {step.address:#x}"
    if number == 1 and step.paddr is not None:
        place += f" (PA {step.paddr:#x})"
    if step.kind == "external":
        return f"{place}: no memory is there"
    return f"{place}: {step.descriptor:#018x}  {_kind(step, trapped_to)}"


def _kind(step: Step, trapped_to: str) -> str:
    if step.output is not None:
        return f"{step.kind} -> {step.output:#x}"
    if not step.descriptor:
        return f"invalid: {'accesses trap' if trapped_to else 'nothing is mapped'}"
    if not step.descriptor & VALID:
        return "invalid: bit 0 is clear"
    kind = "table" if step.descriptor & 3 == TABLE_OR_PAGE else "block"
    return f"invalid: no {kind} is allowed at level {step.level}"


def attributes_text(translated: Translated) -> str:
    """``EL1 rw-, EL0 ---, Normal write-back, inner shareable``; nothing where no page was reached."""
    if translated.memory is None or translated.shareability is None:
        return ""
    parts = []
    if translated.stage1 is None:
        parts.append(str(translated.el1))
    else:
        parts += [f"EL1 {translated.el1}", f"EL0 {translated.el0}"]
    parts.append(translated.memory.value)
    name = SHAREABILITY.get(translated.shareability, "reserved shareability")
    parts.append(name if name.startswith("non") else f"{name} shareable")
    return ", ".join(parts)


def translation_object(translated: Translated) -> dict[str, object]:
    """The translation for JSON: addresses and descriptors are strings in hexadecimal."""
    kind = "ipa" if translated.stage1 is None else "va"
    found: dict[str, object] = {kind: hex(translated.address)}
    if translated.stage1 is not None:
        found |= {"el": translated.el, "mmu": translated.mmu, "stage1": _stage_object(translated.stage1)}
    if translated.access is not None:
        found["access"] = translated.access.value
    if translated.stage2 is not None:
        found["stage2"] = _stage_object(translated.stage2)
    if translated.paddr is not None:
        found["pa"] = hex(translated.paddr)
    if translated.trapped_to:
        found["trapped_to"] = translated.trapped_to
    if translated.absent:
        found["absent"] = translated.absent
    stage = translated.faulting
    if stage is not None:
        found["fault"] = {
            "stage": stage.number,
            "level": stage.fault_level,
            "kind": stage.fault_kind,
            "text": stage.fault,
            "status": hex(stage.fault_status or 0),
        }
    if translated.memory is not None and translated.shareability is not None:
        permissions = {"el0": str(translated.el0), "el1": str(translated.el1)}
        found["permissions"] = permissions if translated.stage1 is not None else str(translated.el1)
        found["memory"] = translated.memory.value
        found["shareability"] = SHAREABILITY.get(translated.shareability, "reserved")
    return found


def _stage_object(stage: Stage) -> dict[str, object]:
    return {
        "controls": stage.controls,
        "input": hex(stage.input),
        "steps": [_step_object(stage.number, step) for step in stage.steps],
        "output": None if stage.output is None else hex(stage.output),
        "size": stage.size,
    }


def _step_object(number: int, step: Step) -> dict[str, object]:
    found: dict[str, object] = {"level": step.level, "address": hex(step.address)}
    if number == 1:
        found["pa"] = None if step.paddr is None else hex(step.paddr)
    found |= {"descriptor": hex(step.descriptor), "kind": step.kind}
    if step.output is not None:
        found["output"] = hex(step.output)
    if step.fields:
        found["fields"] = dict(step.fields)
    return found
