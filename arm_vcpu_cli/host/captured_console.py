"""A console without a terminal: it keeps what the guest prints, and gives it input that is known beforehand."""

from __future__ import annotations

import tempfile
from typing import Final

from arm_vcpu_cli.host.console import Console


class CapturedConsole:
    """``console`` is for the machine; the guest receives ``input``, and then no more. Files, not pipes, so that neither
    side ever waits for the other."""

    def __init__(self, input: bytes) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._input = tempfile.TemporaryFile()  # noqa: SIM115
        self._input.write(input)
        self._input.seek(0)
        self.console: Final = Console(self._output.fileno(), self._input.fileno())

    def printed(self) -> bytes:
        """What has reached the output so far."""
        at = self._output.tell()
        self._output.seek(0)
        data = self._output.read()
        self._output.seek(at)
        return data

    def close(self) -> None:
        """Give back both files."""
        self._output.close()
        self._input.close()
