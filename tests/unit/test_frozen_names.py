"""Names that the state of a stack has: renaming one makes existing stacks unusable or replaces their resources.

Pulumi stores a dynamic provider as a pickle by reference, which is its module and class name. After a rename, refresh
and delete of an existing stack fail with `ModuleNotFoundError` (pulumi/pulumi#7453). Keep the old name importable if a
provider has to move.
"""

import ast
import importlib

from pulumi.dynamic import ResourceProvider

from paths import CHECKOUT

PROVIDERS = {
    "workloads.kubernetes.readiness.crds.CrdsEstablishedProvider",
    "workloads.kubernetes.readiness.gateway.GatewayProgrammedProvider",
    "workloads.kubernetes.readiness.ray_service.RayServiceReadyProvider",
    "workloads.kubernetes.readiness.ray_service_deletion.RayServiceDeletedProvider",
    "workloads.kubernetes.readiness.region_drain.RegionDrainedProvider",
    "workloads.local.ray_head.RayHeadProvider",
    "workloads.local.serve_application.ServeApplicationProvider",
    "workloads.local.smollm2.SmolLM2ModelProvider",
    "workloads.local.tiny_model.TinyModelProvider",
}
COMPONENT_TYPES = {
    "rayllm:infra:Fleet",
    "rayllm:infra:GatewayFrontend",
    "rayllm:infra:GkeCluster",
    "rayllm:infra:ImageRegistry",
    "rayllm:infra:KmsKeyGrants",
    "rayllm:infra:MemorystoreInstance",
    "rayllm:infra:ModelBucket",
    "rayllm:infra:Network",
    "rayllm:infra:NodePools",
    "rayllm:infra:NodeServiceAccount",
    "rayllm:infra:ProjectServices",
    "rayllm:infra:SharedVpcGrants",
}


def subclasses(of: type) -> set[type]:
    direct = set(of.__subclasses__())
    return direct.union(*(subclasses(each) for each in direct))


def import_all() -> None:
    for room in ("infra", "workloads"):
        for file in sorted((CHECKOUT / room).rglob("*.py")):
            path = file.relative_to(CHECKOUT).with_suffix("")
            if not {"edge", "pod_scripts", "ray_runtime"} & set(path.parts):  # these run in other environments
                importlib.import_module(".".join(path.parts))


def test_the_module_and_class_of_every_dynamic_provider_are_frozen() -> None:
    import_all()
    found = {f"{each.__module__}.{each.__qualname__}": each for each in subclasses(ResourceProvider)}
    concrete = {
        name for name, each in found.items() if name.split(".")[0] in ("infra", "workloads") and not subclasses(each)
    }
    assert concrete == PROVIDERS


def test_the_type_tokens_of_the_infra_components_are_frozen() -> None:
    tokens = {
        node.value
        for file in (CHECKOUT / "infra").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("rayllm:")
    }
    assert tokens == COMPONENT_TYPES
