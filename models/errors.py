"""Errors of a command that whoever ran it can mend: the message is a sentence that says how.

Everything else that a command raises is a defect of ours, and keeps its stack trace.
"""


class InputError(ValueError):
    """What was given (arguments, settings, files) is wrong; nothing was done."""


class JobError(RuntimeError):
    """The job cannot be done here or now."""
