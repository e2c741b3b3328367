"""The one exception a person is meant to read.

Raised for bad input and missing tools by every package. The message names the input, what was
expected and the mend; the terminal prints it without a traceback and exits with status 2.
Programming errors do not belong here: they keep their own types and their traceback.
"""


class QiPipelineError(Exception):
    """A problem whose message tells the reader what to change."""
