"""The one family of exceptions: each text says what happened, got, expected and what to do."""


class FtftError(Exception):
    """A fault that its message explains in full, so that no traceback is owed to the user.

    `passing` says that the fault may be gone when the same job is tried again, as a network's is.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        fix: str | None = None,
        passing: bool = False,
    ):
        self.passing = passing
        details = (("got", got), ("expected", expected), ("what to do", fix))
        super().__init__(
            "\n".join([what, *(f"  {name}: {value}" for name, value in details if value is not None)])
        )


class ConfigError(FtftError):
    """The configuration cannot be used."""


class DataError(FtftError):
    """A data set cannot be used."""


class ModelError(FtftError):
    """An encoder or its tokenizer cannot be loaded."""


class ArtifactError(FtftError):
    """A file of the workflow is missing, torn, or does not belong to the files it is used with."""


class TrainingError(FtftError):
    """A training run cannot go on."""
