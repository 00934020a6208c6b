"""Files: opening and replacing them, folders replaced as one thing, and JSON that others may have written."""

from chainrule.files.disk import (
    describe_os_error,
    open_binary,
    printable,
    read_text,
    reading,
    replace_file,
    replace_text,
)

__all__ = ["describe_os_error", "open_binary", "printable", "read_text", "reading", "replace_file", "replace_text"]
