"""Decoding image files to upright 8-bit RGB."""


class ImageError(ValueError):
    """Say which image could not be read, why, and what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"image `{path}` {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return (type(self), (self.path, self.reason))
