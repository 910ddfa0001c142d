"""What the doctor found: one line each, as text or JSON."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Mark = Literal["ok", "warn", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: Where it belongs: `preset`, `packages`, `encoder`, `reranker`, `gallery`, ….
        mark: `ok`; `warn`: it runs, but less well than it could; `error`: it cannot run.
        text: What is the case, in a sentence.
        remedy: What to do about it, where something is to be done.
    """

    area: str
    mark: Mark
    text: str
    remedy: str | None = None


@dataclass(frozen=True)
class Report:
    """All findings, in the order of looking."""

    preset: str
    findings: tuple[Finding, ...]

    @property
    def can_run(self) -> bool:
        """Whether nothing was found that keeps it from running."""
        return all(finding.mark != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "preset": self.preset,
            "can_run": self.can_run,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def lines(self) -> Iterator[str]:
        """For people: one line per finding, and a last one that sums up."""
        for finding in self.findings:
            yield f"{finding.mark:<5} {finding.area:<9} {finding.text}"
            if finding.remedy is not None:
                yield f"{'':<15} → {finding.remedy}"
        errors = sum(finding.mark == "error" for finding in self.findings)
        yield "it can run" if self.can_run else f"it cannot run: {errors} to be mended"


def command(arguments: str, variable: str, preset: str) -> str:
    """A command that can be typed as it is: it names the preset where the environment does not.

    Args:
        arguments: Of `python -m`.
        variable: That sets the preset of the process.
        preset: The one that was looked at.
    """
    known = os.environ.get(variable, "demo") == preset
    return f"{'' if known else f'{variable}={shlex.quote(preset)} '}python -m {arguments}"


def in_bytes(count: float) -> str:
    """A size for people: `605 MB`, `4.27 GB`."""
    if count >= 1e9:
        return f"{count / 1e9:.3g} GB"
    return f"{count / 1e6:.0f} MB"
