"""A stand-in for GKE's controllers: Gateway, multi-cluster Services, and the nodes of Google's node pools.

It writes the objects and conditions that GKE's controllers write, and carries no traffic: a Gateway becomes Programmed,
an HTTPRoute resolves its references or reports that it cannot, and a ServiceExport of an existing Service becomes a
ServiceImport in every cluster. Nodes follow the node pools in the file of the stand-in for Google's API. Sources: the
Gateway API's conditions, and GKE's "Configuring multi-cluster Services".

    python -m rehearsal.control_plane.gke_controllers control-planes.json [stand-in-google.json]
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from rehearsal.control_plane.nodes import SimulatedNodePool
from rehearsal.plugin_values import unwrap

INTERVAL_S = 1.0
GATEWAYS = "/apis/gateway.networking.k8s.io/v1"
FLEET = "/apis/net.gke.io/v1"
CONTROLLER = "networking.gke.io/gateway"
Object = dict[str, Any]


@dataclass(frozen=True)
class ClusterClient:
    """A client for one cluster's API server."""

    http: httpx2.Client

    @classmethod
    def connect(cls, server: str, token: str, ca: str) -> ClusterClient:
        """Return a client for the entry of a cluster in control-planes.json."""
        verify = ssl.create_default_context(cafile=ca)
        headers = {"Authorization": f"Bearer {token}"}
        return cls(httpx2.Client(base_url=server, headers=headers, verify=verify, trust_env=False, timeout=10))

    def list_items(self, path: str) -> list[Object]:
        """Return the objects at a path; none while the API server does not know the kind."""
        reply = self.http.get(path)
        return [] if reply.status_code == 404 else reply.raise_for_status().json()["items"]

    def exists(self, path: str) -> bool:
        """Return True if the object at a path exists."""
        return self.http.get(path).status_code == 200

    def patch_status(self, path: str, status: Object) -> None:
        """Write an object's status; ignore the answer, because the object may be deleted by now."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self.http.patch(f"{path}/status", content=json.dumps({"status": status}), headers=headers)


def reconcile(clusters: dict[str, ClusterClient]) -> None:
    """Bring the Gateways, routes, exports and imports of all clusters up to date once."""
    exported = {key for cluster in clusters.values() for key in _reconcile_exports(cluster)}
    for cluster in clusters.values():
        _reconcile_imports(cluster, exported)
        _reconcile_gateways(cluster)


def _reconcile_exports(cluster: ClusterClient) -> Iterable[tuple[str, str]]:
    """Write the condition of each ServiceExport; yield (namespace, name) of those whose Service exists."""
    for export in cluster.list_items(f"{FLEET}/serviceexports"):
        namespace, name = export["metadata"]["namespace"], export["metadata"]["name"]
        exists = cluster.exists(f"/api/v1/namespaces/{namespace}/services/{name}")
        condition = _condition(export, "Exported", exists, "Exported" if exists else "ServiceNotFound")
        path = f"{FLEET}/namespaces/{namespace}/serviceexports/{name}"
        _update_status(cluster, path, export, {"conditions": [condition]})
        if exists:
            yield namespace, name


def _reconcile_imports(cluster: ClusterClient, exported: set[tuple[str, str]]) -> None:
    imports = cluster.list_items(f"{FLEET}/serviceimports")
    existing = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in imports}
    for namespace, name in exported - existing:
        body = {
            "apiVersion": "net.gke.io/v1",
            "kind": "ServiceImport",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "ClusterSetIP", "ports": [{"name": "serve", "port": 8000, "protocol": "TCP"}]},
        }
        cluster.http.post(f"{FLEET}/namespaces/{namespace}/serviceimports", json=body)
    for namespace, name in existing - exported:
        cluster.http.delete(f"{FLEET}/namespaces/{namespace}/serviceimports/{name}")


def _reconcile_gateways(cluster: ClusterClient) -> None:
    gateways = set()
    for gateway in cluster.list_items(f"{GATEWAYS}/gateways"):
        namespace, name = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
        gateways.add((namespace, name))
        conditions = [_condition(gateway, type_, True, type_) for type_ in ("Accepted", "Programmed")]
        path = f"{GATEWAYS}/namespaces/{namespace}/gateways/{name}"
        _update_status(cluster, path, gateway, {"conditions": conditions})
    for route in cluster.list_items(f"{GATEWAYS}/httproutes"):
        namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
        parents = []
        for parent in route["spec"].get("parentRefs", []):
            accepted = (parent.get("namespace", namespace), parent["name"]) in gateways
            resolved = all(_backend_exists(cluster, namespace, ref) for ref in _backend_refs(route))
            conditions = [
                _condition(route, "Accepted", accepted, "Accepted" if accepted else "NoMatchingParent"),
                _condition(route, "ResolvedRefs", resolved, "ResolvedRefs" if resolved else "BackendNotFound"),
            ]
            parents.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions})
        _update_status(cluster, f"{GATEWAYS}/namespaces/{namespace}/httproutes/{name}", route, {"parents": parents})


def _backend_refs(route: Object) -> list[Object]:
    return [ref for rule in route["spec"].get("rules", []) for ref in rule.get("backendRefs", [])]


def _backend_exists(cluster: ClusterClient, namespace: str, ref: Object) -> bool:
    if ref.get("kind") == "ServiceImport":
        return cluster.exists(f"{FLEET}/namespaces/{namespace}/serviceimports/{ref['name']}")
    return cluster.exists(f"/api/v1/namespaces/{namespace}/services/{ref['name']}")


def _condition(body: Object, type_: str, status: bool, reason: str) -> Object:
    return {
        "type": type_,
        "status": "True" if status else "False",
        "reason": reason,
        "message": "",
        "observedGeneration": body["metadata"].get("generation", 1),
    }


def _update_status(cluster: ClusterClient, path: str, body: Object, status: Object) -> None:
    """Write `status` if it differs from the status of `body`, transition times aside: the API requires them, and no
    reader here uses them."""
    before = json.loads(json.dumps(body.get("status", {})))
    for condition in _conditions(before):
        condition.pop("lastTransitionTime", None)
    if {key: before.get(key) for key in status} == status:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for condition in _conditions(status):
        condition["lastTransitionTime"] = now
    cluster.patch_status(path, status)


def _conditions(status: Object) -> list[Object]:
    own = status.get("conditions", [])
    return [*own, *(each for parent in status.get("parents", []) for each in parent.get("conditions", []))]


def reconcile_node_pools(clusters: dict[str, ClusterClient], google: Path) -> None:
    """Create and delete nodes, so that each region's cluster has those of Google's node pools in that region."""
    resources = json.loads(google.read_text())["resources"].values() if google.exists() else ()
    pools = [unwrap(row["inputs"]) for row in resources if row["type"] == "NodePool"]
    for number, (region, cluster) in enumerate(clusters.items()):
        existing = {node["metadata"]["name"] for node in cluster.list_items("/api/v1/nodes")}
        wanted: dict[str, Object] = {}
        for place, inputs in enumerate(each for each in pools if each["location"] == region):
            pool = SimulatedNodePool.from_node_pool_inputs(inputs)
            pod_cidrs = [f"10.{244 + number}.{place * 16 + i + 1}.0/24" for i in range(pool.count)]
            wanted |= {node["metadata"]["name"]: node for node in pool.nodes(region, pod_cidrs)}
        for name in wanted.keys() - existing:
            cluster.http.post("/api/v1/nodes", json=wanted[name])
            cluster.patch_status(f"/api/v1/nodes/{name}", wanted[name]["status"])
        for name in existing - wanted.keys():
            cluster.http.delete(f"/api/v1/nodes/{name}")


def main(control_planes: Path, google: Path | None) -> None:
    """Reconcile every second; read the control planes' file each time, because an `up` may add one."""
    clusters: dict[str, ClusterClient] = {}
    while True:
        for name, access in json.loads(control_planes.read_text()).items():
            if name not in clusters:
                clusters[name] = ClusterClient.connect(access["server"], access["token"], access["ca"])
        try:
            reconcile(clusters)
            if google is not None:
                reconcile_node_pools(clusters, google)
        except httpx2.HTTPError as error:  # an API server may restart: try again
            print(error, file=sys.stderr, flush=True)
        time.sleep(INTERVAL_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
