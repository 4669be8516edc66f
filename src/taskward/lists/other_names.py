"""What other APIs call the members of lists."""

from __future__ import annotations

from taskward.kit.suggestions import Vocabulary

OTHER_NAMES = Vocabulary(names={"title": ("name",)})
