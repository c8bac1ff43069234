"""The root of the errors that a user can fix.

    StreamInspectError
    ├── UsageError                                 invalid input or configuration: exit code 2
    │   ├── ConfigError      config/problems.py    the configuration is invalid, with file and line
    │   └── ReplayError      commands/replay/results.py  a replay would overwrite files
    ├── CameraError          capture/camera.py     a source failed
    │   ├── NoPictureError                         it was reached, but sends no picture that can be decoded
    │   └── EndOfMediaError                        a finite source has ended
    ├── ModelError           inspect/detect/       a model is missing, corrupt or failed
    │   └── OutOfMemoryError                       a smaller batch may succeed
    ├── AlertError           alerts/               sending failed and will be retried
    │   └── OutputRefusedError                     every event is rejected until a person changes something
    ├── AlertRejectedError   alerts/               the receiver permanently rejected the event
    ├── PlantInputError      plant/                an encoder, PLC or broker cannot be read; it is connected again
    ├── UnknownPluginError   registry.py           no plug-in of this name
    └── ...                  any other reason why a command cannot do its work

The text of each says what is wrong, where, and what to do; it holds no secret.
"""


class StreamInspectError(Exception):
    """An error that the user can fix; the command line prints only its text, without a traceback."""


class UsageError(StreamInspectError):
    """The user named something that is not valid. Nothing was changed, and retrying will not help."""
