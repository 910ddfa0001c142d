"""Keeps answers as they come, so that an interrupted run goes on where it stopped."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from indexer.evaluation.contracts import Answer, BenchmarkError


class AnswerFile:
    """A JSONL file: first what was asked and of whom, then an answer per line.

    Attributes:
        answers: Query id → answer, those that were there already included.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Open a file, or begin it.

        Args:
            path: The file; its folder is made if absent.
            about: What decides the answers: benchmark, gallery, depth; JSON values.

        Raises:
            BenchmarkError: The file holds the answers to something else.
        """
        self.answers: dict[str, Answer] = {}
        whole_bytes = self._read(path, about) if path.exists() else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(whole_bytes)  # the torn last line of a killed run goes, nothing else
        if whole_bytes == 0:
            self._append(_line(about))

    def add(self, answer: Answer) -> None:
        """Keep an answer; it is on disk when this returns."""
        self._append(_line(asdict(answer)))
        self.answers[answer.query_id] = answer

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()

    def _read(self, path: Path, about: Mapping[str, Any]) -> int:
        """Take over the whole lines of an earlier run; returns how many bytes they are."""
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if not lines:
            return 0
        if (found := json.loads(lines[0])) != json.loads(_line(about)):
            changed = [key for key in about if found.get(key) != about[key]]
            raise BenchmarkError(
                f"{path} holds answers to something else (other {', '.join(changed) or 'fields'}); "
                "give another --out, or delete it to ask again"
            )
        for line in lines[1:]:
            fields = json.loads(line)
            answer = Answer(
                query_id=fields["query_id"],
                ranked_ids=tuple(fields["ranked_ids"]),
                latency_ms=fields["latency_ms"],
                reasons=tuple(fields["reasons"]),
                judge=fields["judge"],
            )
            self.answers[answer.query_id] = answer
        return sum(len(line) for line in lines)


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
