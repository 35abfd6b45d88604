"""A tracer is put into a machine: who tells it what."""

from __future__ import annotations

from arm_vcpu_cli.devices.naming import device_kind
from arm_vcpu_cli.observe.callers import CallerFinder
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.observe.tracing import TraceOptions, Tracer
from arm_vcpu_cli.observe.vector_watch import watch_vectors
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.event import TracedDevice, TraceHeader
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.vm.builder import Machine


def attach_tracer(machine: Machine, sink: TraceSink, options: TraceOptions) -> Tracer:
    """Have a machine traced from now on; before its vCPU is bound. What nobody wants to hear of is not watched."""
    core, gic = machine.host.core(0), machine.gic
    clock, symbols = machine.clock.now, machine.image.symbols
    tracer = Tracer(
        sink,
        EventDescriber.for_machine(machine),
        options,
        clock=clock,
        caller=CallerFinder(symbols, core.read_virtual).return_address if len(symbols) else None,
        signalled=lambda: None if gic is None else gic.signalled(0),
    )
    machine.arch_vcpu.set_observer(tracer)
    if gic is not None and tracer.wants_interrupts:
        gic.watch(tracer.interrupt)
    if tracer.wants_states:
        machine.vcpu.observe_state(tracer.state)
    if tracer.wants_console or options.start_on or options.stop_on:
        machine.console.observe(tracer.console)
    if tracer.wants_accesses:
        for device in machine.passed_through:
            device.observer = tracer.access
    if tracer.wants_exceptions:
        tracer.at_exit = watch_vectors(core, machine.arch_vcpu.state, clock, tracer.exception)
    if tracer.wants_code:
        machine.on_demand.watcher = tracer.code
    for address in options.start_at:
        core.watch_code(address, address, lambda _pc: tracer.open())
    for address in options.stop_at:
        core.watch_code(address, address, lambda _pc: tracer.shut())
    return tracer


def trace_header(machine: Machine, tool: str, *, timing: bool) -> TraceHeader:
    """What is traced; ``tool`` is our name and version."""
    description = machine.description
    described = {device.name: device for device in description.devices}
    devices = []
    for window in machine.bus.windows():
        device = described.get(window.name)
        kind = device_kind(window.device) if device is None else device.type
        intid = None if device is None else device.intid
        devices.append(TracedDevice(window.name, kind, window.base, window.end - window.base, intid))
    devices += [
        TracedDevice(device.name, device.type, device.base, device.size, device.intid)
        for device in description.devices
        if device.passthrough
    ]
    return TraceHeader(
        tool=tool,
        guest=printable(machine.image.path.name),
        machine=description.name,
        cpu=description.cpu.model,
        clock=description.clock.source.value,
        timing=timing,
        devices=tuple(devices),
    )
