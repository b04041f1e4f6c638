"""The errors that a user of ncf can cause; each message says what was expected and what came."""


class NcfError(Exception):
    """Base class: the command line prints its message as one line and exits with a non-zero status."""


class ConfigError(NcfError, ValueError):
    """A setting is unknown, missing or out of range; the message names its key."""


class DataError(NcfError, ValueError):
    """A data file is missing, damaged or not what its set requires; the message names file and line."""


class TrainingError(NcfError, RuntimeError):
    """Training cannot go on (a non-finite loss, for example); the last good checkpoint is kept."""


class CheckpointError(NcfError, RuntimeError):
    """A checkpoint is damaged, or belongs to another configuration."""


class FileError(NcfError, OSError):
    """A file of a run cannot be written: the disk is full, or the folder read-only. What was there is intact."""
