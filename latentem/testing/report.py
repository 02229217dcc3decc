"""What a check found: one part for each thing checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part of a report.

    Args:
        name: what was checked.
        passed: whether it holds.
        message: the figure measured and, where it does not hold, what to do.
    """

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Report:
    """What `lem.check` found.

    Args:
        model: name of the model.
        parts: one for each check, in the order they were made.
    """

    model: str
    parts: tuple[Part, ...]

    @property
    def passed(self) -> bool:
        """Whether every part holds."""
        return all(part.passed for part in self.parts)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the parts that do not hold."""
        return tuple(part.name for part in self.parts if not part.passed)

    def __str__(self) -> str:
        lines = [f"{'ok    ' if part.passed else 'FAILED'} {part.name}: {part.message}" for part in self.parts]
        return "\n".join([f"check of {self.model}: {'passed' if self.passed else 'FAILED'}", *lines])

    def raise_if_failed(self) -> Report:
        """The report itself when everything holds.

        Raises:
            AssertionError: with the whole report, when a part does not hold.
        """
        if not self.passed:
            raise AssertionError(str(self))
        return self
