"""A transceiver's configuration: from values to settings, what is refused, and what a worker is told of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fastrelay.cli.main import fastrelay, run
from fastrelay.config.description import json_schema, markdown
from fastrelay.errors import ConfigError
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.supervisor.charges import Charges
from fastrelay.transceiver.supervisor.configuration import load_transceiver_settings
from fastrelay.transceiver.supervisor.reload import FIXED, FIXED_HTTP, born_with, refuse_fixed
from fastrelay.transceiver.supervisor.schema import TRANSCEIVER_SCHEMA
from fastrelay.transceiver.supervisor.settings import CallLimits, TransceiverSettings
from fastrelay.transceiver.worker.orders import Charge

ROOT = Path(__file__).parents[2]
BARE = (
    '[transceiver]\ntrunk = "10.0.0.7"\nrelays = ["203.0.113.5:3478"]\nallow = ["10.0.0.0/8"]\n'
    'keys_file = "keys.json"\n'
)
KEY = "sk_0123456789abcdef"

Load = Callable[..., TransceiverSettings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)
    KeyRing.new(now_s=0).save("keys.json")

    def load(
        text: str | None = BARE, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
    ) -> TransceiverSettings:
        if text is not None:
            Path("transceiver.toml").write_text(text)
        return load_transceiver_settings(None if text is None else Path("transceiver.toml"), flags or {}, environ or {})

    return load


def test_file_gives_every_setting(load: Load) -> None:
    settings = load(
        '[transceiver]\ntrunk = "10.0.0.7:4100"\nrelays = ["203.0.113.5:3478", "[2001:db8::5]:3478"]\n'
        'allow = ["10.0.0.0/8"]\nkeys_file = "k"\ncluster = 7\nagent = "shop.voice:assistant"\ndtls_role = "active"\n'
        'user = "daemon"\nrun_dir = "/run/fastrelay"\n'
        '[http]\nlisten = "10.0.0.7:443"\napi_keys_file = "a"\nsecret_lifetime_s = 60\n'
        'allowed_origins = ["https://shop.example"]\npublic_url = "https://voice.example/"\n'
        'redirect_to = "https://voice-2.example"\ndemo = true\ncertificate_file = "c"\nkey_file = "p"\n'
        '[workers]\ncount = "0-2"\n'
        "[limits]\ncalls = 9\noffers_per_s = 8\noffers_burst = 7\ncall_s = 6\nmemory_mib = 5\n"
        '[admin]\nlisten = "127.0.0.1:9479"\n[drain]\ntimeout_s = 5\n[log]\nform = "json"\n'
    )
    assert (settings.trunk, settings.cluster, settings.agent) == (("10.0.0.7", 4100), 7, "shop.voice:assistant")
    assert settings.relays == (("203.0.113.5", 3478), ("2001:db8::5", 3478))
    assert (settings.dtls_role, settings.user, settings.run_dir) == ("active", "daemon", Path("/run/fastrelay"))
    http = settings.signalling
    assert (http.listen, http.api_keys_file, http.is_open) == (("10.0.0.7", 443), Path("a"), False)
    assert (http.allowed_origins, http.secret_lifetime_s) == (("https://shop.example",), 60)
    assert (http.public_url, http.redirect_to) == ("https://voice.example", "https://voice-2.example")
    assert (http.serves_demo, http.certificate_file, http.key_file) == (True, Path("c"), Path("p"))
    assert (settings.workers, settings.cpus, settings.worker_count) == (None, (0, 1, 2), 3)
    assert settings.limits == CallLimits(9, 8, 7, 6, 5)
    assert (settings.admin, settings.drain_timeout_s, settings.log_form) == (("127.0.0.1", 9479), 5, "json")


def test_flag_goes_before_variable_and_variable_before_file(load: Load) -> None:
    environ = {"FASTRELAY_TRANSCEIVER__AGENT": "tone", "FASTRELAY_LIMITS__CALLS": "5"}
    settings = load(BARE + 'agent = "recorder"\n', {"limits.calls": "6"}, environ)
    assert (settings.agent, settings.limits.calls) == ("tone", 6)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param(
            'agent = "voice:"', "transceiver.toml:6: transceiver.agent: 'voice:' is neither", id="half an agent"
        ),
        pytest.param('agent = "../voice:x"', "transceiver.toml:6: transceiver.agent: '../voice:x' is", id="a path"),
        pytest.param('dtls_role = "both"', "transceiver.toml:6: transceiver.dtls_role is 'both', must be", id="role"),
        pytest.param("cluster = 65536", "transceiver.toml:6: transceiver.cluster is 65536, must be 0 to", id="cluster"),
        pytest.param(
            '[http]\nlisten = "0.0.0.0:8080"', "--api-keys: missing: at 0.0.0.0:8080 anyone could call", id="open"
        ),
        pytest.param(
            '[http]\nopen = true\napi_keys_file = "a"', "transceiver.toml:7: http.open: set together", id="both"
        ),
        pytest.param('[http]\ncertificate_file = "c"', "http.key_file: missing: HTTPS needs", id="half HTTPS"),
        pytest.param(
            '[http]\nallowed_origins = ["https://a.example/x"]',
            "transceiver.toml:7: http.allowed_origins: ",
            id="origin",
        ),
        pytest.param("[http]\nallowed_origins = []", "transceiver.toml:7: http.allowed_origins: 0 origins", id="none"),
        pytest.param('[http]\nredirect_to = "voice.example"', "transceiver.toml:7: http.redirect_to: ", id="no URL"),
        pytest.param("[workers]\ncount = 65", "transceiver.toml:7: workers.count: 65 workers, at most 64", id="65"),
        pytest.param("[limits]\nflows = 1", "transceiver.toml:7: limits.flows is unknown", id="a relay's"),
        pytest.param(
            "[limits]\noffers_burst = 0", "transceiver.toml:7: limits.offers_burst is 0, must be 1", id="zero"
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(load: Load, lines: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"{BARE}{lines}\n")
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("10.0.0.7", "0.0.0.0", "transceiver.trunk: 0.0.0.0 names no machine", id="wildcard trunk"),
        pytest.param(
            "10.0.0.7", "10.0.0.7:65500", "transceiver.trunk: workers look for 64 ports", id="port past the end"
        ),
        pytest.param("10.0.0.7", "fd00::7", "transceiver.allow: relays in 10.0.0.0/8 cannot reach", id="other family"),
        pytest.param(
            "203.0.113.5:3478", "0.0.0.0:3478", "transceiver.relays: 0.0.0.0:3478 is no address", id="any relay"
        ),
        pytest.param(
            "203.0.113.5:3478", "203.0.113.5:0", "transceiver.relays: 203.0.113.5:0 is no address", id="port 0"
        ),
    ],
)
def test_address_that_leads_nowhere_is_refused(load: Load, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f": {says}"):
        load(BARE.replace(old, new))


def test_last_trunk_port_that_leaves_room_is_taken(load: Load) -> None:
    assert load(BARE.replace("10.0.0.7", "10.0.0.7:65472")).trunk == ("10.0.0.7", 65472)


def test_loopback_is_open_without_keys_and_pages_of_others_may_not_call(load: Load) -> None:
    charge = Charges.of(load(), Path("run")).charge(0, None)
    assert (charge.plan.is_open, charge.plan.allowed_origins, charge.api_keys) == (True, (), None)


def test_with_keys_pages_of_any_origin_may_call(load: Load) -> None:
    Path("keys.txt").write_text(f"shop {KEY}\n")
    Path("keys.txt").chmod(0o600)
    charge = Charges.of(load(BARE + '[http]\napi_keys_file = "keys.txt"\n'), Path("run")).charge(3, 1)
    assert (charge.plan.is_open, charge.plan.allowed_origins) == (False, ("*",))
    assert (charge.plan.slot, charge.plan.cpu, charge.accepted_keys.find(KEY)) == (3, 1, "shop")
    assert Charge.parse(json.loads(json.dumps(charge.build()))) == charge


def test_secrets_are_in_no_repr(load: Load) -> None:
    Path("keys.txt").write_text(f"shop {KEY}\n")
    Path("keys.txt").chmod(0o600)
    charges = Charges.of(load(BARE + '[http]\napi_keys_file = "keys.txt"\n'), Path("run"))
    assert KEY not in repr(charges)
    assert KEY not in repr(charges.charge(0, None))


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (f"shop {KEY}", 0o644, "mode 0644"),
        ("shop", 0o600, "line 1"),
        ("", 0o600, "holds no key"),
        ("\xff", 0o600, "UTF-8"),
    ],
    ids=["open to others", "no key", "empty", "not UTF-8"],
)
def test_api_keys_that_cannot_be_used_are_refused(load: Load, content: str, mode: int, says: str) -> None:
    Path("keys.txt").write_text(content, encoding="latin-1")
    Path("keys.txt").chmod(mode)
    with pytest.raises(ConfigError, match=says):
        Charges.of(load(BARE + '[http]\napi_keys_file = "keys.txt"\n'), Path("run"))


# --- reload


@pytest.mark.parametrize(
    "lines",
    [
        'user = "daemon"\n',
        'run_dir = "elsewhere"\n',
        '[http]\nlisten = "127.0.0.1:9"\n',
        '[admin]\nlisten = "127.0.0.1:9"\n',
        '[log]\nform = "json"\n',
    ],
)
def test_what_was_opened_at_the_start_cannot_change(load: Load, lines: str) -> None:
    with pytest.raises(ConfigError, match="cannot change while the transceiver runs"):
        refuse_fixed(load(), load(BARE + lines))


@pytest.mark.parametrize(
    "lines", ['agent = "tone"\n', "[http]\ndemo = true\n", '[http]\ncertificate_file = "c"\nkey_file = "p"\n']
)
def test_what_a_process_is_born_with_changes_by_succession(load: Load, lines: str) -> None:
    refuse_fixed(load(), load(BARE + lines))
    assert born_with(load()) != born_with(load(BARE + lines))


def test_limits_change_without_succession(load: Load) -> None:
    assert born_with(load()) == born_with(load(BARE + "[limits]\ncalls = 1\n"))


# --- commands and pages


def test_every_flag_of_the_transceiver_gives_its_setting() -> None:
    options = {name for each in fastrelay.commands["transceiver"].params for name in each.opts}
    assert {setting.flag for setting in TRANSCEIVER_SCHEMA.settings if setting.flag} <= options


def test_check_and_show_know_the_file_for_a_transceivers(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load(BARE + '[http]\napi_keys_file = "nowhere"\n')
    assert run(["check", "transceiver.toml"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("transceiver.toml: ok\n  transceiver.trunk ")
    assert told.err == "warning: nowhere: No such file or directory\n"
    assert run(["config", "show", "--config", "transceiver.toml"]) == 0
    assert "limits.offers_per_s" in capsys.readouterr().out


def test_check_tells_every_error(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        load(BARE + "agnet = 1\n[limits]\ncalls = 0\n")
    assert run(["check", "transceiver.toml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "transceiver.toml:6: transceiver.agnet is unknown; did you mean agent?",
        "transceiver.toml:8: limits.calls is 0, must be 1 to 100000",
        "transceiver.toml: 2 errors",
    ]


def test_schema_of_a_transceiver_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema", "--of", "transceiver", "--json"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(json.dumps(json_schema(TRANSCEIVER_SCHEMA, "Configuration of a fastrelay transceiver")))


def test_example_makes_settings_and_shows_defaults(load: Load) -> None:
    text = (ROOT / "examples" / "transceiver.toml").read_text()
    settings = load(text)
    assert settings.relays == (("203.0.113.5", 3478),)
    commented = [line[2:].partition("  ")[0] for line in text.splitlines() if line.startswith("# ") and " = " in line]
    by_key = {setting.key: setting for setting in TRANSCEIVER_SCHEMA.settings}
    assert len(commented) > 12
    for key, value in tomllib.loads("\n".join(commented)).items():
        setting = by_key[key]
        setting.kind.parse(value)
        if setting.default is not None:
            assert value == setting.kind.build(setting.default), key


def test_page_holds_the_tables_of_the_schema() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert markdown(TRANSCEIVER_SCHEMA) in page, "paste `fastrelay config schema --of transceiver --markdown`"


def test_page_names_what_a_reload_cannot_change() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    reload = page.partition("## Reload of a transceiver")[2].partition("## ")[0]
    by_flag = {setting.flag: setting for setting in TRANSCEIVER_SCHEMA.settings}
    sentence = reload.partition("is refused")[0]
    for flag in (*FIXED.values(), *FIXED_HTTP.values()):
        assert f"`{by_flag[flag].name}`" in sentence, flag
