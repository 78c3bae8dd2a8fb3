"""Names: within what Google takes, never cut, never the same for two things."""

import functools
import json
import re
from pathlib import Path

import googleapiclient
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.google.labels import labels
from config.google.name_limits import NAME_LIMITS, PlannedName, ResourceKind, collisions, resource_name
from config.google.region_names import CONTINENTS, DIRECTIONS, region_code
from config.issues import ConfigError

REGIONS = re.findall(
    r"\S+",
    """
    africa-south1 asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2
    asia-southeast1 asia-southeast2 asia-southeast3 australia-southeast1 australia-southeast2 europe-central2
    europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west10 europe-west12 europe-west2 europe-west3
    europe-west4 europe-west6 europe-west8 europe-west9 me-central1 me-central2 me-west1 northamerica-northeast1
    northamerica-northeast2 northamerica-south1 southamerica-east1 southamerica-west1 us-central1 us-east1 us-east4
    us-east5 us-south1 us-west1 us-west2 us-west3 us-west4 us-west8
""",
)
RFC_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
# What each document says of the name, in its own words or as its own pattern.
SAID = {
    ResourceKind.ADDRESS: ("compute.v1", "Address.name", "1-63 characters"),
    ResourceKind.CLUSTER: ("container.v1", "Cluster.name", "up to 40 characters"),
    ResourceKind.DNS_ZONE: ("dns.v1", "ManagedZone.name", "1-63 characters"),
    ResourceKind.FIREWALL: ("compute.v1", "Firewall.name", "1-63 characters"),
    ResourceKind.HEALTH_CHECK: ("compute.v1", "HealthCheck.name", "1-63 characters"),
    ResourceKind.MEMBERSHIP: ("gkehub.v1", "Membership.name", "63 characters"),
    ResourceKind.NAT: ("compute.v1", "RouterNat.name", "1-63 characters"),
    ResourceKind.NETWORK: ("compute.v1", "Network.name", "1-63 characters"),
    ResourceKind.RESOURCE_POLICY: ("compute.v1", "ResourcePolicy.name", "1-63 characters"),
    ResourceKind.ROUTER: ("compute.v1", "Router.name", "1-63 characters"),
    ResourceKind.SECONDARY_RANGE: ("compute.v1", "SubnetworkSecondaryRange.rangeName", "1-63 characters"),
    ResourceKind.SECURITY_POLICY: ("compute.v1", "SecurityPolicy.name", "1-63 characters"),
    ResourceKind.SERVICE_ACCOUNT: ("iam.v1", "CreateServiceAccountRequest.accountId", "6-30 characters"),
    ResourceKind.SUBNETWORK: ("compute.v1", "Subnetwork.name", "1-63 characters"),
}
PARAMETERS = {
    ResourceKind.CRYPTO_KEY: ("cloudkms.v1", "cryptoKeyId", "{1,63}"),
    ResourceKind.KEY_RING: ("cloudkms.v1", "keyRingId", "{1,63}"),
    ResourceKind.REDIS: ("redis.v1", "instanceId", "between 1-40 characters"),
    ResourceKind.SECRET: ("secretmanager.v1", "secretId", "255 characters"),
}
OTHERWISE = {
    ResourceKind.BUCKET: 63,
    ResourceKind.CERTIFICATE: 64,
    ResourceKind.DNS_AUTHORIZATION: 64,
    ResourceKind.NODE_POOL: 40,
    ResourceKind.RAY_SERVICE: 47,
    ResourceKind.REPOSITORY: 63,
}


@functools.cache
def document(api: str) -> dict[str, object]:
    return json.loads(
        (Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / f"{api}.json").read_text()
    )


@pytest.mark.parametrize(("kind", "said"), SAID.items(), ids=str)
def test_a_limit_is_the_one_that_googles_document_gives(kind: ResourceKind, said: tuple[str, str, str]) -> None:
    api, at, words = said
    schema, field = at.split(".")
    schemas = document(api)["schemas"]
    assert isinstance(schemas, dict)
    description = re.sub(r"\s+", " ", schemas[schema]["properties"][field]["description"])
    assert words in description
    assert re.findall(r"\d+", words)[-1] == str(NAME_LIMITS[kind].max_length)


@pytest.mark.parametrize(("kind", "said"), PARAMETERS.items(), ids=str)
def test_a_limit_is_the_one_that_googles_method_gives(kind: ResourceKind, said: tuple[str, str, str]) -> None:
    api, parameter, words = said
    found = re.findall(rf'"{parameter}": {{[^{{}}]*?"description": "([^"]*)"', json.dumps(document(api)))
    assert any(words in description for description in found)
    assert re.findall(r"\d+", words)[-1] == str(NAME_LIMITS[kind].max_length)


def test_every_kind_has_a_limit_and_each_limit_is_checked_here() -> None:
    assert set(NAME_LIMITS) == set(ResourceKind) == {*SAID, *PARAMETERS, *OTHERWISE}
    assert {kind: NAME_LIMITS[kind].max_length for kind in OTHERWISE} == OTHERWISE
    assert all(limit.source for limit in NAME_LIMITS.values())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (resource_name(ResourceKind.CLUSTER, "prod", "ray", "us-central1"), "prod-us-central1-ray"),
        (resource_name(ResourceKind.NETWORK, "prod", "ray"), "prod-ray"),
        (
            resource_name(ResourceKind.SERVICE_ACCOUNT, "staging", "nodes", "northamerica-northeast1"),
            "staging-nane1-nodes",
        ),
        (
            resource_name(ResourceKind.BUCKET, "prod", "weights", "europe-west4", "acme-llm"),
            "acme-llm--prod-euw4-weights",
        ),
        (resource_name(ResourceKind.BUCKET, "prod", "weights", project="acme-llm"), "acme-llm--prod-weights"),
        (resource_name(ResourceKind.NODE_POOL, "dev", "l4-spot", "us-east1"), "dev-us-east1-l4-spot"),
    ],
)
def test_a_name_is_environment_region_role(made: str, expected: str) -> None:
    assert made == expected


def test_every_region_of_google_has_a_code_of_its_own() -> None:
    codes = {region_code(region) for region in REGIONS}
    assert len(codes) == len(REGIONS)
    assert all(re.fullmatch(r"[a-z]{3,4}\d{1,2}", code) for code in codes)
    assert {"usc1", "euw12", "nane1", "afs1", "mec2"} <= codes


def test_no_region_that_google_may_yet_open_shares_a_code() -> None:
    regions = [
        f"{continent}-{direction}{n}" for continent in CONTINENTS for direction in DIRECTIONS for n in range(1, 100)
    ]
    assert len({region_code(region) for region in regions}) == len(regions)


environments = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True)
roles = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,3}", fullmatch=True) | st.builds(
    lambda region, role: f"{region}-{role}", st.sampled_from([*REGIONS, "usc1", "nane1"]), st.just("nodes")
)
places = st.none() | st.sampled_from(REGIONS)
projects = st.from_regex(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", fullmatch=True)
asked = st.tuples(st.sampled_from(ResourceKind), environments, roles, places, projects)
Asked = tuple[ResourceKind, str, str, str | None, str]


def attempt(asked: Asked) -> str | None:
    try:
        return resource_name(*asked)
    except (ConfigError, ValueError):
        return None


@settings(max_examples=200, deadline=None)
@given(asked)
def test_a_name_that_is_made_is_one_that_google_takes(asked: Asked) -> None:
    kind, *_ = asked
    if (made := attempt(asked)) is None:
        return
    assert len(made) <= NAME_LIMITS[kind].max_length
    assert re.fullmatch(RFC_1035, made)
    if kind is ResourceKind.SERVICE_ACCOUNT:
        assert 6 <= len(made) <= 30
    assert made.endswith(asked[2])


# Few and mean words, so that whatever can collide does.
words = st.sampled_from(["a", "us", "central1", "usc1", "central", "1", "us-central1", "a-us-central1"])
mean = st.tuples(
    st.lists(words, min_size=1, max_size=2).map("-".join),
    st.lists(words, min_size=1, max_size=4).map("-".join),
    st.sampled_from([None, "us-central1", "us-central11"]),
    st.sampled_from(["aaaaaa", "aaaaaa-a", "aaaaaa--a"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([ResourceKind.NETWORK, ResourceKind.SERVICE_ACCOUNT, ResourceKind.BUCKET]),
    st.lists(mean, min_size=2, max_size=60),
)
def test_two_things_of_a_kind_never_share_a_name(
    kind: ResourceKind, things: list[tuple[str, str, str | None, str]]
) -> None:
    holder: dict[str, tuple[str | None, ...]] = {}
    for environment, role, region, project in things:
        made = attempt((kind, environment, role, region, project))
        thing = (environment, role, region, project if kind is ResourceKind.BUCKET else None)
        if made is not None:
            assert holder.setdefault(made, thing) == thing


@pytest.mark.parametrize(
    ("kind", "role", "over"),
    [
        (ResourceKind.CLUSTER, "a" * 24, "by 1 characters"),
        (ResourceKind.SERVICE_ACCOUNT, "a" * 24, "by 4 characters"),
        (ResourceKind.NETWORK, "a" * 50, "by 4 characters"),
    ],
)
def test_a_name_that_is_too_long_is_refused_and_not_cut(kind: ResourceKind, role: str, over: str) -> None:
    with pytest.raises(ConfigError, match=over) as refused:
        resource_name(kind, "prod", role, "us-central1")
    assert refused.value.rules == ("infra.name-too-long",)
    assert resource_name(kind, "prod", role[:-4], "us-central1").endswith(role[:-4])


@pytest.mark.parametrize(
    ("environment", "better"), [("dev-alice", "devalice"), ("Prod", "prod"), ("1st", "st"), ("", "dev")]
)
def test_an_environment_that_could_not_be_told_from_the_region_is_refused(environment: str, better: str) -> None:
    with pytest.raises(ConfigError, match=f"Rename the stack to {better} ") as refused:
        resource_name(ResourceKind.CLUSTER, environment, "ray", "us-central1")
    assert refused.value.rules == ("infra.stack-name-invalid",)
    assert resource_name(ResourceKind.CLUSTER, better, "ray", "us-central1")


@pytest.mark.parametrize("role", ["us-central1-pool", "usc1-pool", "nane1", "Pool", "pool_1", "a--b", "1a", "a-", ""])
def test_a_role_that_could_be_taken_for_a_region_or_is_not_a_word_is_refused(role: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the last part of a name") as refused:
        resource_name(ResourceKind.NODE_POOL, "prod", role, "us-central1")
    assert refused.value.rules == ("infra.node_pools.name-invalid",)
    better = str(refused.value).split("such as ")[1].removesuffix(".")
    assert resource_name(ResourceKind.NODE_POOL, "prod", better, "us-central1")


@pytest.mark.parametrize(
    "region", ["us-central", "us-central1-a", "mars-west1", "US-central1", "us_central1", "us-central0"]
)
def test_what_is_not_a_region_is_refused(region: str) -> None:
    for kind in (ResourceKind.CLUSTER, ResourceKind.SERVICE_ACCOUNT):
        with pytest.raises(ValueError, match="us-central1, or add the new continent") as refused:
            resource_name(kind, "prod", "ray", region)
        assert getattr(refused.value, "context", {})["issue"].rule == "infra.regions.name-invalid"


def test_a_bucket_without_a_project_and_a_service_account_too_short_are_mistakes_of_the_code() -> None:
    with pytest.raises(ValueError, match="begins with its project"):
        resource_name(ResourceKind.BUCKET, "prod", "weights")
    with pytest.raises(ValueError, match="6 characters or more"):
        resource_name(ResourceKind.SERVICE_ACCOUNT, "dev", "x")


def test_a_name_asked_for_twice_is_refused_once_and_says_by_what() -> None:
    pool = [
        PlannedName(
            ResourceKind.NODE_POOL, "prod-us-east1-l4", f"infra.regions[0].node_pools[{i}]", scope="prod-us-east1-ray"
        )
        for i in range(2)
    ]
    elsewhere = PlannedName(
        ResourceKind.NODE_POOL, "prod-us-east1-l4", "infra.regions[1].node_pools[0]", scope="prod-us-west1-ray"
    )
    cluster = PlannedName(ResourceKind.CLUSTER, "prod-us-east1-l4", "infra.regions[0]")
    (refusal,) = collisions([*pool, elsewhere, cluster])
    assert (
        "infra.regions[0].node_pools[0] and infra.regions[0].node_pools[1] would both be a node pool"
        in refusal.format()
    )


def test_everything_carries_environment_owner_and_stack_version() -> None:
    assert labels("prod", "ml-platform", "1.4.0") == {
        "environment": "prod",
        "owner": "ml-platform",
        "stack-version": "1_4_0",
    }


@pytest.mark.parametrize(
    ("owner", "better"),
    [
        ("ML Platform", "ml-platform"),
        ("team@example.com", "team-example-com"),
        ("-a", "a"),
        ("a" * 64, "a" * 63),
        ("", "x"),
    ],
)
def test_a_label_that_google_or_kubernetes_refuses_is_refused_with_one_that_they_take(owner: str, better: str) -> None:
    with pytest.raises(ConfigError, match=f"such as {better}" if better != "x" else "such as platform") as refused:
        labels("prod", owner, "1.4.0")
    assert refused.value.rules == ("infra.owner-not-a-label",)
    assert labels("prod", better, "1.4.0")["owner"] == better
