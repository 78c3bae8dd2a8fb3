"""A suggestion names a misspelt setting and never one of another meaning."""

import pytest

from config.google.region_names import REGIONS
from config.spelling import find_misspelt, words_of

KNOWN = ("boot_disk_gib", "max_nodes", "min_nodes", "max_model_len", "data_path", "tensor_parallel_size", "zones")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("data_pth", "data_path"),
        ("data-path", "data_path"),
        ("maxModelLen", "max_model_len"),
        ("tensor_paralell_size", "tensor_parallel_size"),
        ("zone", "zones"),
        ("boot_disk_type", None),
        ("boot_disk_size", None),
        ("min_node", "min_nodes"),
        ("mix_nodes", None),
        ("tensor_size", None),
        ("nodes", None),
    ],
)
def test_only_a_misspelling_is_corrected(wrong: str, meant: str | None) -> None:
    assert find_misspelt(wrong, KNOWN, words_of((*KNOWN, "disk_type", "size"))) == meant


def test_a_word_of_another_setting_is_no_misspelling() -> None:
    assert find_misspelt("min_replicas", ("max_replicas",)) is None
    assert find_misspelt("log_stats", ("lot_stats",), {"log"}) is None


@pytest.mark.parametrize(("wrong", "meant"), [("us-centrall1", "us-central1"), ("us-east9", None)])
def test_a_digit_is_no_misspelling(wrong: str, meant: str | None) -> None:
    assert find_misspelt(wrong, REGIONS) == meant
