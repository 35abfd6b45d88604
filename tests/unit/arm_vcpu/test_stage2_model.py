"""The stage-2 tables against a dict of pages, under random operations."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.errors import Stage2Error

BASE = 0x8000_0000
PAGE, MIB2, GIB = 1 << 12, 1 << 21, 1 << 30
FRAMES = 24

ATTRIBUTES = st.builds(
    Stage2Attributes,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([MemoryType.NORMAL, MemoryType.NORMAL_NC, MemoryType.DEVICE_nGnRE]),
)
# A window of 6 MiB across a 1 GiB boundary; in pages.
WINDOW = (GIB - 2 * MIB2) // PAGE
WINDOW_PAGES = 3 * MIB2 // PAGE
ANY_PAGE = st.one_of(
    st.integers(0, WINDOW_PAGES - 1),
    st.sampled_from([0, 512, 1024]),
)
COUNT = st.one_of(st.integers(1, 8), st.sampled_from([512, 1024, 511, 513]))
PA_DELTA = st.sampled_from([0, GIB, MIB2 * 7, PAGE * 3])


class Stage2Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = bytearray(FRAMES * PAGE)
        self.free = [BASE + index * PAGE for index in range(FRAMES)]
        self.used: set[int] = set()
        self.model: dict[int, tuple[int, Stage2Attributes]] = {}

    def alloc_frame(self) -> int | None:
        return self.alloc_frames(1)

    def alloc_frames(self, count: int) -> int | None:
        run = self.free[:count]
        if len(run) < count:
            return None
        del self.free[:count]
        self.used.update(run)
        return run[0]

    def dealloc_frame(self, paddr: int) -> None:
        self.used.remove(paddr)
        self.bytes[paddr - BASE : paddr - BASE + PAGE] = b"\xa5" * PAGE
        self.free.insert(0, paddr)

    def memory(self, paddr: int, size: int) -> memoryview:
        assert paddr in self.used
        return memoryview(self.bytes)[paddr - BASE : paddr - BASE + size]

    @initialize(bits=st.sampled_from([(44, None), (40, None), (44, 39)]))
    def create(self, bits: tuple[int, int | None]) -> None:
        pa_bits, ipa_bits = bits
        self.space = Stage2AddressSpace(self, pa_bits=pa_bits, ipa_bits=ipa_bits)
        self.root = set(self.used)

    def snapshot(self) -> tuple[set[int], list[bytes]]:
        return set(self.used), [bytes(self.memory(frame, PAGE)) for frame in sorted(self.used)]

    @rule(first=ANY_PAGE, count=COUNT, delta=PA_DELTA, attributes=ATTRIBUTES)
    def map(self, first: int, count: int, delta: int, attributes: Stage2Attributes) -> None:
        pages = [WINDOW + first + index for index in range(count)]
        before = self.snapshot()
        try:
            self.space.map(pages[0] * PAGE, pages[0] * PAGE + delta, count * PAGE, attributes)
        except Stage2Error as error:
            taken = any(page in self.model for page in pages)
            assert taken or ("no frame" in str(error) and len(self.free) < 4)
            assert self.snapshot() == before
            return
        assert not any(page in self.model for page in pages)
        for page in pages:
            self.model[page] = (page * PAGE + delta, attributes)

    @rule(first=ANY_PAGE, count=COUNT)
    def unmap(self, first: int, count: int) -> None:
        self._change(first, count, None)

    @rule(first=ANY_PAGE, count=COUNT, attributes=ATTRIBUTES)
    def protect(self, first: int, count: int, attributes: Stage2Attributes) -> None:
        self._change(first, count, attributes)

    @rule(data=st.data())
    def unmap_a_mapped_run(self, data: st.DataObject) -> None:
        if self.model:
            page = data.draw(st.sampled_from(sorted(self.model)))
            run = 1
            while page + run in self.model and run < 600:
                run += 1
            self._change(page - WINDOW, data.draw(st.integers(1, run)), None)

    def _change(self, first: int, count: int, attributes: Stage2Attributes | None) -> None:
        pages = [WINDOW + first + index for index in range(count)]
        before = self.snapshot()
        try:
            if attributes is None:
                self.space.unmap(pages[0] * PAGE, count * PAGE)
            else:
                self.space.protect(pages[0] * PAGE, count * PAGE, attributes)
        except Stage2Error as error:
            missing = any(page not in self.model for page in pages)
            assert missing or ("no frame" in str(error) and len(self.free) < 4)
            assert self.snapshot() == before
            return
        for page in pages:
            pa, _ = self.model.pop(page)
            if attributes is not None:
                self.model[page] = (pa, attributes)

    @invariant()
    def the_walk_agrees_with_the_model(self) -> None:
        edges = {page + step for page in self._edges() for step in (-1, 0, 1)}
        for page in sorted(edges | {WINDOW, WINDOW + 512, WINDOW + 1024}):
            expected = self.model.get(page)
            walk = self.space.translate(page * PAGE + 0xABC)
            if expected is None:
                assert walk.output is None
                assert walk.fault is not None
                assert walk.fault.kind == "translation"
                continue
            pa, attributes = expected
            assert (walk.output, walk.attributes) == (pa + 0xABC, attributes)
            for access, right in (
                (Access.READ, attributes.read),
                (Access.WRITE, attributes.write),
                (Access.EXECUTE, attributes.execute),
            ):
                assert (self.space.translate(page * PAGE, access).fault is None) is right

    @invariant()
    def the_regions_cover_exactly_the_model(self) -> None:
        found: dict[int, tuple[int, Stage2Attributes]] = {}
        for region in self.space.regions():
            for offset in range(0, region.size, PAGE):
                found[(region.ipa + offset) // PAGE] = (region.pa + offset, region.attributes)
        assert found == self.model

    @invariant()
    def nothing_mapped_means_only_the_root_is_left(self) -> None:
        if not self.model:
            assert self.used == self.root

    def _edges(self) -> list[int]:
        return [
            page
            for page, entry in self.model.items()
            if self.model.get(page - 1, (0, None))[1] is not entry[1] or page + 1 not in self.model
        ]

    def teardown(self) -> None:
        if hasattr(self, "space"):
            self.space.destroy()
            assert not self.used


TestStage2AgainstTheModel = Stage2Machine.TestCase
TestStage2AgainstTheModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
