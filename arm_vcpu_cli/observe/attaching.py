"""Connects a tracer to the parts of a machine that report to it."""

from __future__ import annotations

from functools import partial

from arm_vcpu_cli.devices.naming import device_kind
from arm_vcpu_cli.file_paths import base_name
from arm_vcpu_cli.observe.callers import caller_finder
from arm_vcpu_cli.observe.continuing_traces import hold
from arm_vcpu_cli.observe.describing import EventDescriber, seen_bus
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.observe.vcpu_times import VcpuTimes
from arm_vcpu_cli.observe.vector_watch import watch_vectors
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.event import TracedDevice, TraceHeader
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.vm.machine import Machine


def attach_tracer(machine: Machine, sink: TraceSink, options: TraceOptions) -> Tracer:
    """Trace a machine from now on; call it before its vCPU is bound. Only requested event types are observed."""
    gic = machine.gic
    symbols, several = machine.image.symbols, len(machine.cpus) > 1
    times = VcpuTimes(machine)
    clock = times.now if several else machine.timeline.reader()
    tracer = Tracer(
        sink,
        EventDescriber.for_machine(machine),
        options,
        clock=clock,
        caller=caller_finder(machine).return_address if len(symbols) else None,
        signalled=lambda vcpu: None if gic is None else gic.signalled(vcpu),
        current=lambda: machine.current.index,
        clock_of=times.of if several else None,
        vcpus=len(machine.cpus),
        time_stands=not machine.timeline.follows_host and machine.faults is None,
    )
    machine.observe(tracer)
    machine.observers += (tracer, times)
    if gic is not None and tracer.wants_interrupts:
        gic.watch(tracer.interrupt)
    if tracer.wants_states:
        for cpu in machine.cpus:
            cpu.vcpu.observe_state(partial(tracer.state, cpu.index))
    if tracer.wants_console or options.start_on or options.stop_on:
        machine.console.observe(tracer.console)
    if tracer.wants_accesses:
        for device in machine.passed_through:
            device.observer = tracer.access
    if tracer.wants_exceptions:
        tracer.at_exit = watch_vectors(machine, clock, tracer.exception)
    if tracer.wants_code:
        for cpu in machine.cpus:
            cpu.arch.execution_watcher = tracer.code
    if machine.faults is not None and tracer.wants_faults:
        machine.faults.observer = tracer.fault
    for each in machine.host.cores:
        for address in options.start_at:
            each.watch_code(address, address, lambda _pc: tracer.open())
        for address in options.stop_at:
            each.watch_code(address, address, lambda _pc: tracer.shut())
    if machine.goes_on:
        hold(machine, tracer, times)
    return tracer


def trace_header(machine: Machine, tool: str, *, timing: bool) -> TraceHeader:
    """The header of a machine's trace; ``tool`` is the tracer's name and version."""
    description = machine.description
    described = {device.name: device for device in description.devices}
    devices = []
    for window in seen_bus(machine).windows():
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
        guest=printable(base_name(machine.image.path)),
        machine=description.name,
        cpu=description.cpu.model,
        clock=description.clock.source.value,
        timing=timing,
        vcpus=len(machine.cpus),
        devices=tuple(devices),
    )
