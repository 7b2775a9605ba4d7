"""Format `github`: workflow commands that GitHub Actions shows as annotations, worst first.

GitHub keeps ten annotations of a step; the rest are counted in an ordinary line. Source: GitHub's documentation,
"Workflow commands for GitHub Actions".
"""

from cnnshift.render.document import Document, worst_first
from cnnshift.render.style import Style

MOST = 10

COMMANDS = {"error": "error", "failure": "error", "warning": "warning", "notice": "notice"}


def render(document: Document, style: Style) -> str:
    """At most ten annotations; `style` does not matter."""
    found = [finding for finding in worst_first(document.findings) if finding.level in COMMANDS]
    lines = [
        f"::{COMMANDS[finding.level]} title={_property(f'{finding.group}: {finding.name}')}::{_data(finding.message)}"
        for finding in found[:MOST]
    ]
    if len(found) > MOST:
        lines.append(f"{len(found) - MOST} more are not shown.")
    # Plain lines are the log; none may begin like a command.
    said = [_plain(line) for line in (*document.header, *document.footer)]
    return "".join(f"{line}\n" for line in [*said[: len(document.header)], *lines, *said[len(document.header) :]])


def _data(text: str) -> str:
    # "##[" begins a command of an older kind, anywhere in a line.
    return text.replace("##[", "## [").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("::", ": :").replace("##[", "## [")
