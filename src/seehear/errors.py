"""Everything a user can cause, each with one clear sentence and a stable exit code.

SeeHearError             1
├── UsageError           2   an argument, option or path that cannot be meant
├── ModelError           3   engine or weights absent, partial, changed, or not the library's own
├── LibraryError         4   no library there, foreign, damaged, locked, or on a refused file system
├── MediaError           5   a file that cannot be read as picture or sound
└── NothingDoneError     6   the command was understood and nothing could be done
"""


class SeeHearError(Exception):
    """Base of all errors that end in one sentence for the user; `exit_code` is stable."""

    exit_code = 1


class UsageError(SeeHearError):
    """An argument, option or path that cannot be meant."""

    exit_code = 2


class ModelError(SeeHearError):
    """An engine or its weights are absent, partial, changed, or not the library's own."""

    exit_code = 3


class LibraryError(SeeHearError):
    """No library at that place, or one that cannot be opened: foreign, damaged, locked, on NFS."""

    exit_code = 4


class MediaError(SeeHearError):
    """A file that cannot be read as picture or sound; in an ingest, a row of the report."""

    exit_code = 5


class NothingDoneError(SeeHearError):
    """The command was understood and nothing could be done, e.g. no readable file in a folder."""

    exit_code = 6
