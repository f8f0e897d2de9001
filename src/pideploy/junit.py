# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A result as JUnit XML, for the CI systems that read it: phases and checks are the test cases."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from pideploy.results import DeployResult


def render(result: DeployResult) -> str:
    """The XML text. What was not run is ``skipped`` with its reason, or a failure where it had to run."""
    root = ET.Element("testsuites", name="pideploy", time=f"{result.duration:.3f}")
    suite = _Suite(root, f"{result.cluster}.phases")
    for phase in result.phases:
        case = suite.case(phase.id, phase.duration)
        if phase.status == "failed":
            told = [f"{f.host}: {f.message}" for f in result.failures if f.phase == phase.id]
            suite.failure(case, told[0] if told else "failed", told)
        elif phase.status == "not_run" and phase.needed:
            suite.failure(case, f"not run: {phase.reason}")
        elif phase.status == "not_run":
            suite.skipped(case, f"not run: {phase.reason}")
    suite.close()
    suite = _Suite(root, f"{result.cluster}.checks")
    for check in result.checks:
        case = suite.case(check.id, check.duration)
        if check.status == "failed":
            suite.failure(case, check.message, check.evidence)
        elif check.status == "not_run":
            suite.skipped(case, f"not run: {check.message}")
    suite.close()
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


class _Suite:
    def __init__(self, root: ET.Element, name: str) -> None:
        self.element = ET.SubElement(root, "testsuite", name=name)
        self.name = name
        self.tests = self.failures = self.not_run = 0

    def case(self, name: str, seconds: float) -> ET.Element:
        self.tests += 1
        return ET.SubElement(
            self.element, "testcase", classname=f"pideploy.{self.name}", name=name, time=f"{seconds:.3f}"
        )

    def failure(self, case: ET.Element, message: str, lines: Sequence[str] = ()) -> None:
        self.failures += 1
        ET.SubElement(case, "failure", message=_xml(message)).text = _xml("\n".join(lines))

    def skipped(self, case: ET.Element, message: str) -> None:
        self.not_run += 1
        ET.SubElement(case, "skipped", message=_xml(message))

    def close(self) -> None:
        for name, count in (("tests", self.tests), ("failures", self.failures), ("skipped", self.not_run)):
            self.element.set(name, str(count))


def _xml(text: str) -> str:
    """A text without the characters that XML cannot hold (evidence comes from hosts)."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
