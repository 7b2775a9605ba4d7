"""Format `junit`: test cases in JUnit's XML, for Jenkins, GitLab and others."""

from __future__ import annotations

import io
import re

from cnnshift.render.document import Document, Style


def render(document: Document, style: Style) -> str:
    """Return one test suite with a test case per finding, skipped for a warning; `style` is not used."""
    from junitparser import JUnitXml, TestCase, TestSuite
    from junitparser.junitparser import Error, Failure, Skipped

    results = {"error": Error, "failure": Failure, "warning": Skipped}
    suite = TestSuite(f"cnnshift {document.name}")
    for finding in document.findings:
        case = TestCase(_printable(finding.name), _printable(finding.group), 0.0)
        if finding.level in results:
            case.result = [results[finding.level](_printable(finding.message), finding.level)]
        else:
            case.system_out = _printable(finding.message)
        suite.add_testcase(case)
    xml = JUnitXml("cnnshift")
    xml.add_testsuite(suite)
    buffer = io.BytesIO()
    xml.write(buffer, pretty=True)
    return buffer.getvalue().decode()


def _printable(text: str) -> str:
    """Replace the control characters that XML 1.0 cannot represent."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)
