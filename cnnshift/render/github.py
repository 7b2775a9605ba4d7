"""Format `github`: annotations of GitHub Actions, worst first.

GitHub shows ten annotations per step; the number of the others is printed as plain text. Source: GitHub's
documentation, "Workflow commands for GitHub Actions".
"""

from cnnshift.render.document import Document, Style, worst_first

MAX_ANNOTATIONS = 10

COMMANDS = {"error": "error", "failure": "error", "warning": "warning", "notice": "notice"}


def render(document: Document, style: Style) -> str:
    """Return at most ten workflow commands between header and footer; `style` is not used."""
    findings = [finding for finding in worst_first(document.findings) if finding.level in COMMANDS]
    annotations = [
        f"::{COMMANDS[finding.level]} title={_property(f'{finding.group}: {finding.name}')}::{_data(finding.message)}"
        for finding in findings[:MAX_ANNOTATIONS]
    ]
    if len(findings) > MAX_ANNOTATIONS:
        annotations.append(f"{len(findings) - MAX_ANNOTATIONS} more are not shown.")
    lines = [*map(_log, document.header), *annotations, *map(_log, document.footer)]
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    # "##[" starts a command of an older kind anywhere in a line.
    return text.replace("##[", "## [").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _log(text: str) -> str:
    """Return text on one line that does not start a workflow command."""
    return " ".join(text.split()).replace("::", ": :").replace("##[", "## [")
