import pytest

# Modules beside the tests whose assertions shall say what they compared.
_ORACLE = ("oracle", *(f"oracle_{part}" for part in ("listing", "lists", "series", "tags", "tasks", "trees", "world")))
for _module in ("asks", "commands", *_ORACLE, "raw", "services"):
    pytest.register_assert_rewrite(f"tests.{_module}")
