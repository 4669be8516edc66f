"""Where settings come from, and what is said of those that are wrong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

import taskward
from taskward.known_secrets import KNOWN_SECRETS
from taskward.settings import Settings, SettingsError, load_settings, variable_names
from tests.issuer import issuer

SECRET = "Zq3-a-secret-of-these-tests-and-no-others"
# A value of each setting that is not its default, as written and as read.
VALUES: dict[str, tuple[str, Any]] = {
    "database_url": (
        "postgresql://app:secret-password@db/tasks",
        SecretStr("postgresql://app:secret-password@db/tasks"),
    ),
    "migrate_url": (
        "postgresql://owner:secret-password@db/tasks",
        SecretStr("postgresql://owner:secret-password@db/tasks"),
    ),
    "migrate": ("off", "off"),
    "pooled": ("on", "on"),
    "pool_size": ("20", 20),
    "max_tasks": ("1000", 1000),
    "max_lists": ("1", 1),
    "max_tags": ("50", 50),
    "max_import_bytes": ("1048576", 1048576),
    "trash_days": ("7", 7),
    "jwt_secret": (SECRET, SecretStr(SECRET)),
    "better_auth_secret": (SECRET, SecretStr(SECRET)),
    "public_key": ("/run/secrets/key.pem", "/run/secrets/key.pem"),
    "issuer": ("https://id.example/", "https://id.example/"),
    "audience": ("tasks, web", ("tasks", "web")),
    "jwks_url": ("https://id.example/keys", "https://id.example/keys"),
    "algorithms": ("RS256, ES256", ("RS256", "ES256")),
    "required_claims": ("azp=web, token_use=access", ("azp=web", "token_use=access")),
    "reject_claims": ("role=service_role", ("role=service_role",)),
    "scopes": ("enforced", "enforced"),
    "user_claim": ("user.id", "user.id"),
    "leeway": ("0", 0),
    "cors_origins": ("https://app.example,http://localhost:3000", ("https://app.example", "http://localhost:3000")),
    "data_dir": ("/srv/tasks", Path("/srv/tasks")),
    "postgres_bin": ("/opt/pg/bin", Path("/opt/pg/bin")),
    "host": ("::1", "::1"),
    "port": ("9000", 9000),
    "workers": ("4", 4),
    "root_path": ("/taskward/", "/taskward"),
    "keys_from": ("issuer", "issuer"),
    "plain_http_hosts": ("Auth, 10.0.0.7", ("auth", "10.0.0.7")),
    "user_claim_type": ("integer", "integer"),
    "log_level": ("WARNING", "warning"),
    "log_format": ("json", "json"),
    "access_log": ("true", True),
    "unsent_per_user": ("2097152", 2097152),
    "unsent_per_worker": ("16777216", 16777216),
    "send_timeout": ("2.5", 2.5),
    "request_timeout": ("2.5", 2.5),
}
# Settings that are refused without another.
NEEDS = {"migrate_url": ("database_url",), "keys_from": ("issuer",), "user_claim_type": ("user_claim",)}


def test_every_setting_is_read_by_somebody():
    package = Path(taskward.__file__).parent
    trees = [ast.parse(file.read_text()) for file in (package / "app.py", *package.glob("cli/*.py"))]
    read = {name for tree in trees for name in read_of(tree, "settings")}
    # What is read through a property of the settings.
    for node in ast.walk(ast.parse((package / "settings/model.py").read_text())):
        if isinstance(node, ast.FunctionDef) and node.name in read:
            read |= read_of(node, "self")
    assert sorted(Settings.model_fields.keys() - read) == []


def read_of(tree: ast.AST, name: str) -> set[str]:
    """The attributes of what has this name, or of an element of it."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {name, f"{name}[0]"}
    }


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def refusal(**overrides: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(**overrides)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return sentence


def test_every_setting_is_tried_here():
    assert set(VALUES) == set(Settings.model_fields)


@pytest.mark.parametrize("member", VALUES)
def test_a_setting_is_read_from_the_environment_and_from_the_file(member: str, monkeypatch: pytest.MonkeyPatch):
    written, read = VALUES[member]
    name = variable_names()[member]
    for needed in NEEDS.get(member, ()):
        monkeypatch.setenv(variable_names()[needed], VALUES[needed][0])
    assert getattr(load_settings(), member) == Settings.model_fields[member].default != read
    for signature in ("", "\ufeff"):
        Path(".env").write_text(f'{signature}{name}="{written}"\nUNRELATED=1\n', "utf-8")
        assert getattr(load_settings(), member) == read
    Path(".env").unlink()
    monkeypatch.setenv(name, written)
    assert getattr(load_settings(), member) == read


@pytest.mark.parametrize("member", VALUES)
def test_an_empty_variable_is_an_unset_one(member: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable_names()[member], "")
    assert load_settings() == Settings()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch):
    Path(".env").write_text("TASKWARD_PORT=1111\nTASKWARD_HOST=0.0.0.0\nTASKWARD_WORKERS=3\nDATABASE_URL=file\n")
    monkeypatch.setenv("TASKWARD_PORT", "2222")
    monkeypatch.setenv("TASKWARD_HOST", "::1")
    monkeypatch.setenv("DATABASE_URL", "environment")
    settings = load_settings(port=3333, database_url="command line")
    assert (settings.port, settings.host, settings.workers) == (3333, "::1", 3)
    assert settings.database_url == SecretStr("command line")
    assert load_settings().database_url == SecretStr("environment")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("TASKWARD_AUDIANCE", "; did you mean TASKWARD_AUDIENCE?"),
        ("taskward_isuer", "; did you mean TASKWARD_ISSUER?"),
        ("TASKWARD_DATABASE_URL", "; did you mean DATABASE_URL?"),
        ("TASKWARD_BETTER_AUTH_SECRET", "; did you mean BETTER_AUTH_SECRET?"),
        ("TASKWARD_SECRET", "; did you mean TASKWARD_JWT_SECRET?"),
        ("TASKWARD_", "."),
        ("TASKWARD_XYZZY", "."),
    ],
)
def test_an_unknown_variable_is_refused_wherever_it_is(name: str, suggestion: str, monkeypatch: pytest.MonkeyPatch):
    expected = f"{name} is not a setting of Taskward{suggestion}"
    Path(".env").write_text(f"{name}=confidential\n")
    assert refusal() == expected
    Path(".env").unlink()
    for value in ("confidential", ""):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert refusal() == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASKWARD_SERVICE_HOST", "10.0.0.1"),
        ("TASKWARD_SERVICE_PORT", "8000"),
        ("TASKWARD_SERVICE_PORT_HTTP", "8000"),
        ("TASKWARD_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("TASKWARD_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("TASKWARD_PORT_8000_TCP_PORT", "8000"),
        ("TASKWARD_PORT_8000_TCP_PROTO", "tcp"),
        ("TASKWARD_API_SERVICE_HOST", "10.0.0.1"),
        ("TASKWARD_API_PORT", "tcp://10.0.0.1:8000"),
    ],
)
def test_what_kubernetes_sets_for_a_service_is_said_to_be_that(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)
    assert refusal() == (
        f"{name} is not a setting of Taskward; Kubernetes sets it for a Service of that name: "
        "set enableServiceLinks: false in the pod, or name the Service otherwise."
    )


def test_a_port_that_kubernetes_has_set_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKWARD_PORT", "tcp://10.0.0.1:8000")
    assert refusal() == (
        "TASKWARD_PORT: Kubernetes sets it for a Service of that name: "
        "set enableServiceLinks: false in the pod, or name the Service otherwise."
    )


@pytest.mark.parametrize("name", ["TASKWARD_JWT_SECRET", "BETTER_AUTH_SECRET"])
@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("short-secret", "must have at least 32 bytes"),
        ("x7" + "é" * 14, "must have at least 32 bytes"),
        ("a-string-secret-at-least-256-bits-long\n", "is one that anybody can guess"),
        (" " * 40, "is one that anybody can guess"),
        ("a" * 64, "is one that anybody can guess"),
        ("changeme" * 4, "is one that anybody can guess"),
        ("12345678901234567890123456789012", "is one that anybody can guess"),
        ("0123456789abcdef" * 2, "is one that anybody can guess"),
        *((secret, "is one that anybody can guess") for secret in sorted(KNOWN_SECRETS)),
        (issuer("ES256").public_pem, "is a key of another kind"),
        ("\n " + issuer("ES256").private_pem.replace("\n", "\\n"), "is a key of another kind"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0x0 user@example", "is a key of another kind"),
    ],
)  # fmt: skip
def test_a_secret_that_protects_nothing_is_refused(
    name: str, secret: str, reason: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, secret)
    sentence = refusal()
    assert sentence.startswith(f"{name} {reason}")
    assert secret.strip()[:12] not in sentence or not secret.strip()


def test_every_published_secret_is_long_enough_to_be_tried():
    assert all(len(secret) >= 32 for secret in KNOWN_SECRETS)


@pytest.mark.parametrize(
    "secret", [SECRET, "ü" * 15 + "x7", "$2b$12$" + "R9h/cIPz0gi.URNNX3kh2O", "a b'c\"d\\e#f" + "G1h2J3k4L5m6N7p8Q9r0s"]
)
def test_a_secret_is_taken_as_it_stands(secret: str, monkeypatch: pytest.MonkeyPatch):
    if len(secret.encode()) < 32:
        secret += "-and-some-more"
    monkeypatch.setenv("BETTER_AUTH_SECRET", secret)
    assert load_settings().secrets[0] == secret


def test_both_names_may_hold_the_same_secret_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKWARD_JWT_SECRET", SECRET)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    assert load_settings().secrets[0] == SECRET
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET + "x")
    assert refusal() == "TASKWARD_JWT_SECRET and BETTER_AUTH_SECRET differ; set one of them."


def test_several_secrets_have_commas_between_them_under_our_own_name_only(monkeypatch: pytest.MonkeyPatch):
    newest, oldest = f"n{SECRET}", f"o{SECRET}"
    monkeypatch.setenv("BETTER_AUTH_SECRET", f"{newest},{oldest}")
    assert load_settings().secrets == (f"{newest},{oldest}",)
    # Each would read the same value in its own way.
    monkeypatch.setenv("TASKWARD_JWT_SECRET", f"{newest},{oldest}")
    assert refusal() == "TASKWARD_JWT_SECRET and BETTER_AUTH_SECRET differ; set one of them."
    monkeypatch.delenv("BETTER_AUTH_SECRET")
    assert load_settings().secrets == (newest, oldest)
    for wrong, reason in {
        f"{newest}, {oldest}": "must have no spaces around its commas",
        f"{newest},": "must have at least 32 bytes; a comma separates two secrets",
        f"{newest},{'a' * 64}": "is one that anybody can guess",
        f"{newest},{issuer('ES256').public_pem.strip()}": "is a key of another kind",
    }.items():
        monkeypatch.setenv("TASKWARD_JWT_SECRET", wrong)
        assert refusal().startswith(f"TASKWARD_JWT_SECRET {reason}")


PUBLIC = {
    "TASKWARD_PUBLIC_KEY": ("public-key", issuer("ES256").public_pem),
    "TASKWARD_JWKS_URL": ("jwks-url", "https://id.example/keys"),
}


@pytest.mark.parametrize("name", ["TASKWARD_JWT_SECRET", "BETTER_AUTH_SECRET"])
@pytest.mark.parametrize("other", PUBLIC)
def test_a_secret_and_a_public_key_exclude_each_other(name: str, other: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, SECRET)
    choice, value = PUBLIC[other]
    monkeypatch.setenv(other, value)
    both = ", or TASKWARD_ALGORITHMS with algorithms of both to use both."
    way_out = f", or TASKWARD_KEYS_FROM={choice} where the secret is for your app alone"
    expected = f"{other} and {name} exclude each other; set one of them"
    assert refusal() == expected + (way_out if name == "BETTER_AUTH_SECRET" else "") + both
    for algorithms in ("HS256", "ES256", "ES256,RS256,EdDSA", "HS256,HS512"):
        monkeypatch.setenv("TASKWARD_ALGORITHMS", algorithms)
        assert refusal().startswith(expected)
    monkeypatch.setenv("TASKWARD_ALGORITHMS", "ES256,HS256")
    settings = load_settings()
    assert settings.secrets == (SECRET,)
    assert value in {settings.used_public_key, settings.used_jwks_url}
    assert not settings.has_only_secrets


def test_a_public_key_and_a_key_set_exclude_each_other_whatever_the_algorithms(monkeypatch: pytest.MonkeyPatch):
    for name, (_, value) in PUBLIC.items():
        monkeypatch.setenv(name, value)
    for algorithms in ("", "ES256,HS256"):
        monkeypatch.setenv("TASKWARD_ALGORITHMS", algorithms)
        assert refusal() == "TASKWARD_PUBLIC_KEY and TASKWARD_JWKS_URL exclude each other; set one of them."


def test_a_setting_says_which_keys_count(monkeypatch: pytest.MonkeyPatch):
    # As in the `.env` of an app that uses Better Auth, with a secret that would be refused here.
    Path(".env").write_text("BETTER_AUTH_SECRET=short\nTASKWARD_JWKS_URL=https://id.example/keys\n")
    monkeypatch.setenv("TASKWARD_ISSUER", "https://id.example")
    monkeypatch.setenv("TASKWARD_PUBLIC_KEY", "key.pem")
    found = {}
    for choice in ("public-key", "jwks-url", "issuer"):
        monkeypatch.setenv("TASKWARD_KEYS_FROM", choice)
        settings = load_settings()
        found[choice] = (settings.secrets, settings.used_public_key, settings.used_jwks_url)
        assert settings.has_keys
    assert found == {
        "public-key": ((), "key.pem", None),
        "jwks-url": ((), None, "https://id.example/keys"),
        "issuer": ((), None, None),
    }
    monkeypatch.setenv("TASKWARD_KEYS_FROM", "secret")
    assert refusal() == "BETTER_AUTH_SECRET must have at least 32 bytes; make one with: openssl rand -hex 32."
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    settings = load_settings()
    assert (settings.secrets, settings.used_public_key, settings.used_jwks_url) == ((SECRET,), None, None)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("secret", "TASKWARD_JWT_SECRET or BETTER_AUTH_SECRET"), ("public-key", "TASKWARD_PUBLIC_KEY"),
        ("jwks-url", "TASKWARD_JWKS_URL"), ("issuer", "TASKWARD_ISSUER"),
    ],
)  # fmt: skip
def test_keys_that_are_to_count_must_be_there(choice: str, names: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKWARD_KEYS_FROM", choice)
    assert refusal() == f"TASKWARD_KEYS_FROM is {choice}, and there is none; set {names}."


def test_an_empty_variable_hides_a_key_of_the_file_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    lines = {
        "BETTER_AUTH_SECRET": SECRET,
        "TASKWARD_JWKS_URL": "https://id.example/keys",
        "TASKWARD_AUDIENCE": "tasks",
        "TASKWARD_ISSUER": "https://id.example",
        "TASKWARD_REJECT_CLAIMS": "role=service",
    }
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    assert refusal().startswith("TASKWARD_JWKS_URL and BETTER_AUTH_SECRET exclude each other")
    for name in ("BETTER_AUTH_SECRET", "better_auth_secret"):
        with monkeypatch.context() as patch:
            for variable in (name, "TASKWARD_AUDIENCE", "TASKWARD_ISSUER", "TASKWARD_REJECT_CLAIMS"):
                patch.setenv(variable, "")
            settings = load_settings()
            assert (settings.secrets, settings.used_jwks_url) == ((), "https://id.example/keys")
            # By an accident, a check would be off.
            assert (settings.audience, settings.issuer) == (("tasks",), "https://id.example")
            assert settings.reject_claims == ("role=service",)
    monkeypatch.setenv("TASKWARD_JWKS_URL", "")
    assert load_settings().secrets == (SECRET,)
    # What is given in the environment and on the command line counts as ever.
    monkeypatch.setenv("BETTER_AUTH_SECRET", f"{SECRET}!")
    assert load_settings().secrets == (f"{SECRET}!",)
    assert load_settings(jwks_url="https://id.example/others", keys_from="jwks-url").secrets == ()


def test_a_user_claim_that_is_an_integer_is_not_sub(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKWARD_USER_CLAIM_TYPE", "integer")
    assert refusal() == "TASKWARD_USER_CLAIM_TYPE is integer, and sub is a string; set TASKWARD_USER_CLAIM."


def test_an_owner_without_a_database_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKWARD_MIGRATE_URL", "postgresql://owner:confidential@db/tasks")
    expected = "TASKWARD_MIGRATE_URL is set and DATABASE_URL is not; set both, or DATABASE_URL alone."
    assert refusal() == expected
    monkeypatch.setenv("DATABASE_URL", "")
    assert refusal() == expected
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@db/tasks")
    assert load_settings().migrate_url is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASKWARD_PORT", "0"), ("TASKWARD_PORT", "65536"), ("TASKWARD_PORT", "confidential"),
        ("TASKWARD_PORT", "80.5"),
        ("TASKWARD_WORKERS", "0"), ("TASKWARD_WORKERS", "257"), ("TASKWARD_POOL_SIZE", "0"), ("TASKWARD_LEEWAY", "-1"),
        *((f"TASKWARD_MAX_{name}", value) for name in ("TASKS", "LISTS", "TAGS")
          for value in ("0", "-1", "1.5", "confidential", "inf")),
        ("TASKWARD_LEEWAY", "61"), ("TASKWARD_REQUEST_TIMEOUT", "0"), ("TASKWARD_REQUEST_TIMEOUT", "nan"),
        ("TASKWARD_REQUEST_TIMEOUT", "inf"), ("TASKWARD_MIGRATE", "confidential"), ("TASKWARD_POOLED", "confidential"),
        ("TASKWARD_AUDIENCE", "confidential,"), ("TASKWARD_AUDIENCE", ","), ("TASKWARD_AUDIENCE", " "),
        ("TASKWARD_CORS_ORIGINS", "confidential"), ("TASKWARD_CORS_ORIGINS", "https://confidential/path"),
        ("TASKWARD_CORS_ORIGINS", "https://"),
        *(("TASKWARD_PLAIN_HTTP_HOSTS", value) for value in
          ("confidential,,", "http://confidential", "confidential:3000", "*", "*.confidential", "-", "[::1]", "a/b")),
        ("TASKWARD_KEYS_FROM", "confidential"), ("TASKWARD_USER_CLAIM_TYPE", "confidential"),
        ("TASKWARD_ROOT_PATH", "confidential"),
        ("TASKWARD_REQUIRED_CLAIMS", "confidential"), ("TASKWARD_REQUIRED_CLAIMS", "=confidential"),
        ("TASKWARD_REJECT_CLAIMS", "role=x,confidential"), ("TASKWARD_REJECT_CLAIMS", ","),
        ("TASKWARD_SCOPES", "confidential"), ("TASKWARD_REJECT_CLAIMS", "role = confidential"),
        ("TASKWARD_USER_CLAIM", "azp"), ("TASKWARD_USER_CLAIM", "client_id"),
        ("TASKWARD_USER_CLAIM", "iss"), ("TASKWARD_USER_CLAIM", "aud.0"), ("TASKWARD_USER_CLAIM", "exp"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence_that_names_the_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)
    sentence = refusal()
    assert sentence.startswith(f"{name}: ")
    assert sentence.endswith(".")
    assert "confidential" not in sentence
    assert "nput" not in sentence  # nor are they Pydantic's words


@pytest.mark.processes
@pytest.mark.parametrize("name", ["DATABASE_URL", "TASKWARD_JWT_SECRET", "TASKWARD_PUBLIC_KEY", "TASKWARD_ISSUER"])
def test_bytes_that_are_not_utf8_are_refused_without_being_shown(name: str):
    script = "from taskward.settings import *\ntry:\n load_settings()\nexcept SettingsError as e: print(ascii(str(e)))"
    environment = {os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()} | {
        name.encode(): b"confidential-\xff" * 4
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith(f"'{name}")
    assert "confidential" not in done.stdout


def test_settings_do_not_change():
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch):
    for member in ("database_url", "migrate_url", "jwt_secret", "better_auth_secret"):
        monkeypatch.setenv(variable_names()[member], VALUES[member][0])
    shown = repr(load_settings()) + str(load_settings()) + load_settings().model_dump_json()
    assert SECRET not in shown
    assert "secret-password" not in shown
    monkeypatch.undo()
    private = issuer("ES256").private_pem
    assert private.splitlines()[1] not in repr(Settings(public_key=private))


def test_an_error_of_the_model_itself_shows_no_secret():
    with pytest.raises(ValidationError) as refused:
        Settings(jwt_secret=SecretStr("hunter2"), database_url=SecretStr("hunter2"), port=0)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"jwt_secret": "hunter2", "BETTER_AUTH_SECRET": "hunter2"})
    assert "hunter2" not in str(refused.value)
