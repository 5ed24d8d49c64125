"""The errors that a user can cause, and mend.

    EmotionEdgeError
    ├── SettingsError   (ValueError)  a setting, flag or argument that cannot be honoured
    ├── ModelError      (ValueError)  a model file that is damaged or that this program cannot honour
    ├── SourceError     (OSError)     a camera, video, picture or folder that cannot be opened or read
    └── OutputError     (OSError)     an event file, video or window that cannot be written

Each message is one line: what was found, where, what was expected, what to do.
The command line prints it and ends with exit code 2; anything else that escapes is a fault of ours.
"""


class EmotionEdgeError(Exception):
    """Something that the user can mend; its text is one line that says how."""


class SettingsError(EmotionEdgeError, ValueError):
    """A setting, flag or argument that cannot be honoured."""


class ModelError(EmotionEdgeError, ValueError):
    """A model file that is missing, damaged, or asks for what this program cannot do."""


class SourceError(EmotionEdgeError, OSError):
    """A camera, video, picture or folder that cannot be opened or read."""


class OutputError(EmotionEdgeError, OSError):
    """An event file, video file or window that cannot be opened or written."""
