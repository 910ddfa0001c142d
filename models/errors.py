"""Errors of use, not of the program: the message is a sentence that says how to mend it.

A command or a start prints the sentence alone. Every other exception is a defect and keeps its
stack trace.
"""


class InputError(ValueError):
    """What was given (arguments, settings, files) is wrong; nothing was changed."""


class JobError(RuntimeError):
    """The job cannot be done here or now."""
