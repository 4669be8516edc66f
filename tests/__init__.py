from pathlib import Path

import pytest

# Modules beside the tests whose assertions shall say what they compared.
_MODEL = (path.stem for pattern in ("requests*.py", "reference*.py") for path in Path(__file__).parent.glob(pattern))
for _module in ("commands", *_MODEL, "raw", "services"):
    pytest.register_assert_rewrite(f"tests.{_module}")
