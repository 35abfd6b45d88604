"""SGIs that a guest sent to no CPU of the machine, as the last exits show."""

from __future__ import annotations

from arm_vcpu_cli.axvcpu.exit import SendIPI
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine


class LostSgi(Record):
    """An SGI without a target: the place of the write, its INTID, and the affinities that it named."""

    place: str
    intid: int
    affinities: tuple[int, ...]


def lost_sgis(machine: Machine) -> tuple[LostSgi, ...]:
    """Each of them once, those of the first CPU first."""
    known = {cpu.affinity for cpu in machine.cpus}
    found = []
    for cpu in machine.cpus:
        for recent in cpu.arch.recent_exits():
            sent = recent.record.reason
            if not isinstance(sent, SendIPI) or sent.send_to_all or sent.send_to_self:
                continue
            bits = sent.target_cpu_aux
            named = tuple(sent.target_cpu | bit for bit in range(bits.bit_length()) if bits >> bit & 1)
            if known.isdisjoint(named):
                found.append(LostSgi(with_symbol(machine, recent.record.pc), sent.vector, named))
    return tuple(dict.fromkeys(found))
