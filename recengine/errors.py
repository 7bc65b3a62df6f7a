"""Every exception of recengine, grouped by who must act.

`RequestError`: the caller of a request. `ConfigError`: the operator. `DataError`: whoever feeds us.
`ModelError`: whoever trains. `EngineFault`: us. No error knows HTTP: the table of status codes stands in `server/`.
A message says where, what was expected and what came; `hint` says what to do next; `code` never changes.
"""

from typing import ClassVar

__all__ = (
    "BadArtifact",
    "BadColumn",
    "BadExpression",
    "BadRequest",
    "BadUsage",
    "ConfigError",
    "ConfigInvalid",
    "DataError",
    "DirectoryInvalid",
    "EmptyData",
    "EngineFault",
    "ExpectationFailed",
    "FeaturesChanged",
    "FullTrainNeeded",
    "GateFailed",
    "ModelError",
    "NotFitted",
    "NotTrained",
    "RecEngineError",
    "RequestError",
    "RowsRefused",
    "ServerUnreachable",
    "ShapeError",
    "SourceUnreadable",
    "StoreCorrupt",
    "StoreFailed",
    "StoreLocked",
    "StoreTooNew",
    "TrainingFailed",
    "UnknownItem",
    "UnknownReply",
    "UnknownUser",
    "UnknownVersion",
)


class RecEngineError(Exception):
    """The root of every error that recengine raises on purpose.

    Parameters
    ----------
    message : what was expected, what came, and where.
    hint : what to do next; may be empty.
    """

    code: ClassVar[str] = "recengine-error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RequestError(RecEngineError):
    """The caller of this request must change it."""

    code = "request-error"


class BadRequest(RequestError, ValueError):
    """A field of the request is out of its range or of the wrong type."""

    code = "bad-request"


class BadExpression(RequestError, ValueError):
    """A filter or rule does not parse, or names an attribute that does not exist."""

    code = "bad-expression"


class UnknownItem(RequestError, LookupError):
    """The request names an item that was never ingested."""

    code = "unknown-item"


class UnknownReply(RequestError, LookupError):
    """No reply of that name is recorded."""

    code = "unknown-reply"


class UnknownUser(RequestError, LookupError):
    """The request is about a user that was never ingested, and there is no cold answer to it."""

    code = "unknown-user"


class ConfigError(RecEngineError):
    """The operator must act."""

    code = "config-error"


class ConfigInvalid(ConfigError, ValueError):
    """The TOML does not parse, has an unknown key, or a value out of range."""

    code = "config-invalid"


class DirectoryInvalid(ConfigError, OSError):
    """The data directory is missing, foreign, not writable, or not empty where it must be."""

    code = "directory-invalid"


class StoreLocked(ConfigError, OSError):
    """Another process holds the database."""

    code = "store-locked"


class StoreFailed(ConfigError, OSError):
    """The disk or the memory below the database ran out or refused."""

    code = "store-failed"


class StoreTooNew(ConfigError, RuntimeError):
    """The database was written by a newer recengine."""

    code = "store-too-new"


class ServerUnreachable(ConfigError, ConnectionError):
    """The server could not be reached, or no answer came in time."""

    code = "server-unreachable"


class BadUsage(ConfigError, ValueError):
    """A command was typed with words that do not go together."""

    code = "bad-usage"


class UnknownVersion(ConfigError, LookupError):
    """No deployment of that name exists."""

    code = "unknown-version"


class DataError(RecEngineError):
    """Whoever feeds us must act."""

    code = "data-error"


class SourceUnreadable(DataError, OSError):
    """A file or frame cannot be read: missing, damaged, or of an unknown format."""

    code = "source-unreadable"


class BadColumn(DataError, ValueError):
    """A column is missing, stands there twice, or has a type that cannot serve."""

    code = "bad-column"


class RowsRefused(DataError, ValueError):
    """`--strict` met a bad row; nothing was written."""

    code = "rows-refused"


class ExpectationFailed(DataError, ValueError):
    """Incoming data are not what `[[expect]]` says they must be; nothing was written."""

    code = "expectation-failed"


class EmptyData(DataError, ValueError):
    """There is nothing to learn from."""

    code = "empty-data"


class StoreCorrupt(DataError, RuntimeError):
    """The database file is damaged or not a recengine database."""

    code = "store-corrupt"


class ModelError(RecEngineError):
    """Whoever trains must act."""

    code = "model-error"


class NotFitted(ModelError, RuntimeError):
    """A model was asked before it was fitted or loaded."""

    code = "not-fitted"


class NotTrained(ModelError, RuntimeError):
    """The data directory has no deployment yet."""

    code = "not-trained"


class BadArtifact(ModelError, ValueError):
    """A model folder is damaged, incomplete, or belongs to other data."""

    code = "bad-artifact"


class FeaturesChanged(ModelError, RuntimeError):
    """The deployment was trained with features that are defined otherwise now."""

    code = "features-changed"


class TrainingFailed(ModelError, RuntimeError):
    """A model diverged or could not be fitted."""

    code = "training-failed"


class GateFailed(ModelError, RuntimeError):
    """Validation refused the candidate; the live deployment stays."""

    code = "gate-failed"


class FullTrainNeeded(ModelError, RuntimeError):
    """An increment cannot stand on the live deployment: it has to be trained in full."""

    code = "full-train-needed"


class EngineFault(RecEngineError):
    """We must act: this is a defect of recengine."""

    code = "engine-fault"


class ShapeError(EngineFault, ValueError):
    """An array reached a kernel with the wrong shape or dtype."""

    code = "shape-error"
