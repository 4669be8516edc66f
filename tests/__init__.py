import pytest

# Modules beside the tests whose assertions shall say what they compared.
for _module in ("asks", "commands", "oracle", "raw", "services"):
    pytest.register_assert_rewrite(f"tests.{_module}")
