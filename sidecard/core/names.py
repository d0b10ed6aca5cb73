"""What callers' names may be, so that the configuration refuses those that no call can have."""

import re
from typing import Final

TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
TENANT_RULE: Final = "1 to 64 of a-z, A-Z, 0-9 and ._:@-, starting with a letter or a digit"
LABEL_KEY_CHARS: Final = 63
LABEL_CHARS: Final = 128
"""The most characters of a label's value: whatever they are, but for control characters."""
