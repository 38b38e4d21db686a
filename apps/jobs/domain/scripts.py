"""Whether an inline script is a Python program at all: compiled, never run.

The parser is this process's Python; the keepers' has to be as new.
"""

import threading
import warnings
from typing import Final

from apps.jobs.errors import ScriptSyntaxInvalid

#: what a script is called in the parser's words; no file has this name
_NAME: Final = "<script>"
#: the filters of warnings are the whole process's
_LOCK: Final = threading.Lock()


def require_program(source: str, pointer: str) -> None:
    """Raise ScriptSyntaxInvalid, with line and column, unless the text compiles."""
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, _NAME, "exec", dont_inherit=True)
    except SyntaxError as exc:
        line, column = exc.lineno or 1, max(exc.offset or 1, 1)
        raise ScriptSyntaxInvalid(pointer=pointer, reason=exc.msg, line=line, column=column) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as exc:
        reason = f"it cannot be compiled ({type(exc).__name__})"
        raise ScriptSyntaxInvalid(pointer=pointer, reason=reason) from None
