import sys
from pathlib import Path

import pytest

if sys.dont_write_bytecode:
    # Nothing may be written beside the modules here. Without any of it, each process compiles them all for six seconds.
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode = False

# Modules beside the tests whose assertions shall say what they compared.
_MODEL = (path.stem for pattern in ("requests*.py", "reference*.py") for path in Path(__file__).parent.glob(pattern))
for _module in ("citus_nodes", "commands", *_MODEL, "raw", "services"):
    pytest.register_assert_rewrite(f"tests.{_module}")
