"""The manifests: each fits its schema, names only what is there, and holds the promises of docs/operating.md."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrelay.errors import ConfigError
from fastrelay.relay.configuration import read_relay
from tests.deploy.manifests import Manifest, build, one, pod

ROOT = Path(__file__).parents[2]
RELAY = ROOT / "deploy" / "kubernetes" / "relay"
OVERLAYS = sorted(path.parent for path in RELAY.glob("overlays/*/kustomization.yaml"))
VALIDATE = Path(sys.executable).with_name("kubernetes-validate")
RELEASES = ("1.29", "1.37")
"""The oldest that has all we use, and the newest whose schemas we have."""
MADE_BY_OPERATORS = {("Secret", "fastrelay-keys")}
DIFFERENCES = {"hostNetwork", "dnsPolicy", "nodeSelector", "tolerations", "topologySpreadConstraints"}
"""Between the pods of the two overlays, beside the readiness probe."""

overlays = pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)


def validate(path: Path, release: str) -> subprocess.CompletedProcess[str]:
    command = [VALIDATE, "--strict", "--quiet", "--kubernetes-version", release, path]
    return subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def write(manifests: list[Manifest], path: Path) -> Path:
    path.write_text("\n---\n".join(json.dumps(manifest) for manifest in manifests))
    return path


def relay_pod(overlay: Path) -> Manifest:
    return pod(one(build(overlay), "DaemonSet", "Deployment"))


def relay_container(overlay: Path) -> Manifest:
    (container,) = relay_pod(overlay)["containers"]
    return dict(container)


def test_there_are_two_ways_to_run_relays() -> None:
    assert [path.name for path in OVERLAYS] == ["daemonset-hostnetwork", "deployment-loadbalancer"]


@pytest.mark.parametrize("release", RELEASES)
@overlays
def test_every_manifest_fits_its_schema(overlay: Path, release: str, tmp_path: Path) -> None:
    done = validate(write(build(overlay), tmp_path / "all.yaml"), release)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_field_would_be_noticed(tmp_path: Path) -> None:
    manifests = build(OVERLAYS[0])
    pod(one(manifests, "DaemonSet"))["hostNetworks"] = True
    assert "hostNetworks" in validate(write(manifests, tmp_path / "all.yaml"), RELEASES[0]).stdout


def test_every_file_belongs_to_a_kustomization() -> None:
    listed = set()
    for path in RELAY.rglob("kustomization.yaml"):
        names = re.findall(r"^  - ([\w./-]+)$", path.read_text(), re.MULTILINE)
        listed |= {path} | {(path.parent / name).resolve() for name in names}
    assert set(RELAY.rglob("*.yaml")) - listed == set()


@overlays
def test_everything_named_is_there(overlay: Path) -> None:
    manifests = build(overlay)
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests} | MADE_BY_OPERATORS
    spec = relay_pod(overlay)
    named = {("ServiceAccount", spec["serviceAccountName"])}
    for volume in spec["volumes"]:
        if "configMap" in volume:
            named.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            named.add(("Secret", volume["secret"]["secretName"]))
    assert named - there == set()
    mounts = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in spec["volumes"]}


def selectors(manifests: list[Manifest]) -> Iterator[dict[str, str]]:
    for manifest in manifests:
        spec = manifest.get("spec", {})
        match manifest["kind"]:
            case "Service":
                yield spec["selector"]
            case "NetworkPolicy":
                yield spec["podSelector"]["matchLabels"]
            case "DaemonSet" | "Deployment" | "PodDisruptionBudget":
                yield spec["selector"]["matchLabels"]


@overlays
def test_every_selector_finds_the_relay(overlay: Path) -> None:
    manifests = build(overlay)
    labels = one(manifests, "DaemonSet", "Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in selectors(manifests):
        assert selector.items() <= labels.items()


@overlays
def test_everything_is_in_one_namespace(overlay: Path) -> None:
    assert {manifest["metadata"]["namespace"] for manifest in build(overlay)} == {"fastrelay"}


@overlays
def test_image_has_a_release_for_its_tag(overlay: Path) -> None:
    image = relay_container(overlay)["image"]
    assert "/" in image
    assert re.search(r":\d+\.\d+\.\d+$", image)


@overlays
def test_relay_has_no_privilege(overlay: Path) -> None:
    spec, container = relay_pod(overlay), relay_container(overlay)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


@overlays
def test_pod_is_guaranteed_whole_cpus(overlay: Path) -> None:
    resources = relay_container(overlay)["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["cpu"].isdigit()


@overlays
def test_grace_is_longer_than_a_drain(overlay: Path) -> None:
    spec = relay_pod(overlay)
    shipped = tomllib.loads(one(build(overlay), "ConfigMap")["data"]["relay.toml"])
    assert spec["terminationGracePeriodSeconds"] >= shipped["drain"]["timeout_s"] + 60
    assert relay_container(overlay)["lifecycle"]["preStop"]["exec"]["command"] == ["fastrelay", "drain", "--wait"]


def environment(overlay: Path) -> dict[str, str]:
    """What the relay gets, in the pod and from its image."""
    image = dict(
        re.findall(
            r"^(?:ENV)? +(FASTRELAY_\w+)=(\S+)", (ROOT / "deploy/container/Dockerfile").read_text(), re.MULTILINE
        )
    )
    given = {each["name"]: each["value"] for each in relay_container(overlay)["env"] if "value" in each}
    return {name: value.replace("$(POD_IP)", "10.1.2.3") for name, value in (image | given).items()}


@overlays
def test_relay_takes_its_configuration(overlay: Path, tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(one(build(overlay), "ConfigMap")["data"]["relay.toml"])
    reading = read_relay(path, {}, environment(overlay))
    assert reading.problems == ()
    settings = reading.settings
    assert settings is not None
    assert settings.trunk == ("10.1.2.3", 4000)
    assert settings.admin == ("10.1.2.3", 9464)
    assert str(settings.run_dir) == "/run/fastrelay"
    with pytest.raises(ConfigError, match=r"/etc/fastrelay-keys/keys\.json"):
        settings.load_keys()


@overlays
def test_ports_are_the_configured_ones(overlay: Path) -> None:
    ports = {port["name"]: port["containerPort"] for port in relay_container(overlay)["ports"]}
    assert ports == {"clients": 3478, "trunk": 4000, "admin": 9464}


def test_pods_differ_only_in_where_they_run() -> None:
    first, second = (relay_pod(overlay) for overlay in OVERLAYS)
    probes = [spec["containers"][0].pop("readinessProbe")["httpGet"]["path"] for spec in (first, second)]
    assert probes == ["/readyz", "/livez"]
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} == DIFFERENCES


def test_clients_keep_their_address_and_their_pod() -> None:
    spec = one(build(RELAY / "overlays" / "deployment-loadbalancer"), "Service")["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"], spec["sessionAffinity"]) == (
        "LoadBalancer",
        "Local",
        "ClientIP",
    )


def openings(rules: list[dict[str, Any]], peer: str) -> dict[tuple[str, int], list[dict[str, Any]]]:
    return {(port["protocol"], port["port"]): rule[peer] for rule in rules for port in rule["ports"]}


def test_each_port_is_open_to_those_who_need_it() -> None:
    spec = one(build(RELAY / "overlays" / "deployment-loadbalancer"), "NetworkPolicy")["spec"]
    ingress = openings(spec["ingress"], "from")
    assert ingress.keys() == {("UDP", 3478), ("UDP", 4000), ("TCP", 9464)}
    assert all("ipBlock" in peer for peer in ingress["UDP", 3478])
    assert all("podSelector" in peer for peer in ingress["UDP", 4000])
    assert all("namespaceSelector" in peer for peer in ingress["TCP", 9464])
    assert {protocol for protocol, _ in openings(spec["egress"], "to")} == {"UDP"}
