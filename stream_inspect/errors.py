"""The root of the errors that a user can do something about.

    StreamInspectError
    ├── UsageError                                 what was typed, or is configured, cannot be meant: exit code 2
    │   ├── ConfigError      config/problems.py    the configuration is wrong, with file and line
    │   └── ReplayError      commands/replay/results.py  a replay's folder would lose something
    ├── CameraError          capture/camera.py     a source failed
    │   └── EndOfMediaError                        a finite source has ended
    ├── ModelError           inspect/detect/       a model is missing, corrupt or failed
    │   └── OutOfMemoryError                       a smaller batch may pass
    ├── AlertError           alerts/               sending failed and may work later
    ├── AlertRejectedError   alerts/               the receiver will never take this event
    ├── UnknownPluginError   registry.py           no plug-in of this name
    └── ...                  what else can keep a command from doing its work

The text of each says what, where and what to do; it holds no secret.
"""


class StreamInspectError(Exception):
    """Something is wrong that the user can mend; the command line prints the text alone, without a traceback."""


class UsageError(StreamInspectError):
    """A name, a file or a value cannot be meant. Nothing was done, and trying again will not help."""
