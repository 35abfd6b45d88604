"""Help with options grouped in sections, for commands with many options."""

from __future__ import annotations

from typing import ClassVar

import click


class GuestOption(click.Option):
    """An option that defines the guest and how to run it."""

    section: ClassVar[str] = "The guest and its machine"


class SelectionOption(click.Option):
    """An option that selects the events to log."""

    section: ClassVar[str] = "What to log (an event must meet all criteria)"


class SectionedCommand(click.Command):
    """A command whose help lists its own options first, then the sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in sections, the command's own first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            # Arguments have no help text.
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sorted(sections.items(), key=lambda item: _ORDER.index(item[0])):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


_ORDER = ("Options", SelectionOption.section, GuestOption.section)
