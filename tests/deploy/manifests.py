"""Reads a kustomization the way `kubectl kustomize` does, for the few fields that ours use.

Lives here: resources, namespace, images. Must not live here: what the manifests should say (test_kubernetes).
Any other field is an error, so that nothing is passed over in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

Manifest: TypeAlias = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "namespace", "images"}
WORKLOADS = {"DaemonSet", "Deployment"}


def build(folder: Path) -> list[Manifest]:
    """Return every manifest of an overlay, as the cluster would get it. ValueError for what ours do not use."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(kustomization) - KNOWN:
        raise ValueError(f"{folder}: {', '.join(sorted(unknown))}")
    manifests: list[Manifest] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve(strict=True)
        manifests += build(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for manifest in manifests:
        if namespace := kustomization.get("namespace"):
            manifest["metadata"]["namespace"] = namespace
        for image in kustomization.get("images", ()):
            _name_image(manifest, image)
    return manifests


def _name_image(manifest: Manifest, image: dict[str, str]) -> None:
    if manifest["kind"] in WORKLOADS:
        for container in pod(manifest)["containers"]:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def one(manifests: list[Manifest], *kinds: str) -> Manifest:
    """Return the only manifest of these kinds."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] in kinds]
    return found


def pod(workload: Manifest) -> Manifest:
    """Return the pod that a workload makes."""
    found: Manifest = workload["spec"]["template"]["spec"]
    return found
