"""Why a connection failed, in the words of the system."""

from __future__ import annotations

import os
import ssl


def error_text(error: BaseException) -> str:
    """Why it failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionError) and error.errno is not None:
        return os.strerror(error.errno)  # its own text may be asyncio's, which says less
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
