"""The one exception whose text is meant for the visitor."""


class InputError(Exception):
    """Something given to livdemo cannot be used: one plain sentence that names the file and the mend.

    The command line prints it and exits with status 2; the app shows it and keeps the visitor's work.
    Anything else that escapes is a bug and keeps its traceback.
    """
