"""A stand-in for GKE's own controllers: the load balancer's, the fleet's for Services of several clusters, and node
pools, which the stand-in for Google's API only writes down.

It does what they promise about the objects, and nothing about traffic: a Gateway becomes Programmed, an HTTPRoute finds
what it points to or says that it does not, a ServiceExport of a Service that exists becomes a ServiceImport in every
cluster. Sources: the Gateway API's conditions, and GKE's "Configuring multi-cluster Services".

    python -m rehearsal.control_plane.gke_controllers clusters.json [google.json]
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

from rehearsal.control_plane.nodes import Pool
from rehearsal.plugin_values import bare

EVERY_S = 1.0
GATEWAYS = "/apis/gateway.networking.k8s.io/v1"
FLEET = "/apis/net.gke.io/v1"
CONTROLLER = "networking.gke.io/gateway"
Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """Its API server, as clusters.json has it."""

    http: httpx2.Client

    @classmethod
    def at(cls, server: str, token: str, ca: str) -> Cluster:
        verify = ssl.create_default_context(cafile=ca)
        headers = {"Authorization": f"Bearer {token}"}
        return cls(httpx2.Client(base_url=server, headers=headers, verify=verify, trust_env=False, timeout=10))

    def items(self, path: str) -> list[Object]:
        """Empty while the kind is not known."""
        reply = self.http.get(path)
        return [] if reply.status_code == 404 else reply.raise_for_status().json()["items"]

    def there(self, path: str) -> bool:
        return self.http.get(path).status_code == 200

    def say(self, path: str, status: Object) -> None:
        """Write a status; what has gone meanwhile is none of our business."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self.http.patch(f"{path}/status", content=json.dumps({"status": status}), headers=headers)


def reconcile(clusters: dict[str, Cluster]) -> None:
    """One look at everything."""
    exported = {key for cluster in clusters.values() for key in _exports(cluster)}
    for cluster in clusters.values():
        _imports(cluster, exported)
        _gateways(cluster)


def _exports(cluster: Cluster) -> Iterable[tuple[str, str]]:
    for export in cluster.items(f"{FLEET}/serviceexports"):
        namespace, name = export["metadata"]["namespace"], export["metadata"]["name"]
        found = cluster.there(f"/api/v1/namespaces/{namespace}/services/{name}")
        said = _condition(export, "Exported", found, "Exported" if found else "ServiceNotFound")
        _tell(cluster, f"{FLEET}/namespaces/{namespace}/serviceexports/{name}", export, {"conditions": [said]})
        if found:
            yield namespace, name


def _imports(cluster: Cluster, exported: set[tuple[str, str]]) -> None:
    there = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in cluster.items(f"{FLEET}/serviceimports")}
    for namespace, name in exported - there:
        body = {
            "apiVersion": "net.gke.io/v1",
            "kind": "ServiceImport",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "ClusterSetIP", "ports": [{"name": "serve", "port": 8000, "protocol": "TCP"}]},
        }
        cluster.http.post(f"{FLEET}/namespaces/{namespace}/serviceimports", json=body)
    for namespace, name in there - exported:
        cluster.http.delete(f"{FLEET}/namespaces/{namespace}/serviceimports/{name}")


def _gateways(cluster: Cluster) -> None:
    names = set()
    for gateway in cluster.items(f"{GATEWAYS}/gateways"):
        namespace, name = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
        names.add((namespace, name))
        said = [_condition(gateway, kind, True, kind) for kind in ("Accepted", "Programmed")]
        _tell(cluster, f"{GATEWAYS}/namespaces/{namespace}/gateways/{name}", gateway, {"conditions": said})
    for route in cluster.items(f"{GATEWAYS}/httproutes"):
        namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
        parents = []
        for parent in route["spec"].get("parentRefs", []):
            found = (parent.get("namespace", namespace), parent["name"]) in names
            resolved = all(_back_end_there(cluster, namespace, ref) for ref in _back_ends(route))
            said = [
                _condition(route, "Accepted", found, "Accepted" if found else "NoMatchingParent"),
                _condition(route, "ResolvedRefs", resolved, "ResolvedRefs" if resolved else "BackendNotFound"),
            ]
            parents.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": said})
        _tell(cluster, f"{GATEWAYS}/namespaces/{namespace}/httproutes/{name}", route, {"parents": parents})


def _back_ends(route: Object) -> list[Object]:
    return [ref for rule in route["spec"].get("rules", []) for ref in rule.get("backendRefs", [])]


def _back_end_there(cluster: Cluster, namespace: str, ref: Object) -> bool:
    if ref.get("kind") == "ServiceImport":
        return cluster.there(f"{FLEET}/namespaces/{namespace}/serviceimports/{ref['name']}")
    return cluster.there(f"/api/v1/namespaces/{namespace}/services/{ref['name']}")


def _condition(of: Object, kind: str, true: bool, reason: str) -> Object:
    return {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": "",
        "observedGeneration": of["metadata"].get("generation", 1),
    }


def _tell(cluster: Cluster, path: str, of: Object, status: Object) -> None:
    """Write `status` if it says anything new; times of transitions are of no interest here, but must be there."""
    before = json.loads(json.dumps(of.get("status", {})))
    for condition in _conditions(before):
        condition.pop("lastTransitionTime", None)
    if {key: before.get(key) for key in status} == status:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for condition in _conditions(status):
        condition["lastTransitionTime"] = now
    cluster.say(path, status)


def _conditions(status: Object) -> list[Object]:
    own = status.get("conditions", [])
    return [*own, *(each for parent in status.get("parents", []) for each in parent.get("conditions", []))]


def node_pools(clusters: dict[str, Cluster], google: Path) -> None:
    """Nodes as the node pools of Google's API have them, each in its region's cluster."""
    resources = json.loads(google.read_text())["resources"].values() if google.exists() else ()
    pools = [bare(row["inputs"]) for row in resources if row["title"] == "NodePool"]
    for number, (region, cluster) in enumerate(clusters.items()):
        there = {node["metadata"]["name"] for node in cluster.items("/api/v1/nodes")}
        wanted: dict[str, Object] = {}
        for place, pool in enumerate(Pool.of_google(inputs) for inputs in pools if inputs["location"] == region):
            ranges = [f"10.{244 + number}.{place * 16 + i + 1}.0/24" for i in range(pool.count)]
            wanted |= {node["metadata"]["name"]: node for node in pool.nodes(region, ranges)}
        for name in wanted.keys() - there:
            cluster.http.post("/api/v1/nodes", json=wanted[name])
            cluster.say(f"/api/v1/nodes/{name}", wanted[name]["status"])
        for name in there - wanted.keys():
            cluster.http.delete(f"/api/v1/nodes/{name}")


def main(clusters_json: Path, google: Path | None) -> None:
    clusters: dict[str, Cluster] = {}
    while True:
        known = json.loads(clusters_json.read_text())
        for name, at in known.items():
            if name not in clusters and isinstance(at, dict) and "server" in at:
                clusters[name] = Cluster.at(at["server"], at["token"], at["ca"])
        try:
            reconcile(clusters)
            if google is not None:
                node_pools(clusters, google)
        except httpx2.HTTPError as error:  # an API server that is being restarted: look again
            print(error, file=sys.stderr, flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
