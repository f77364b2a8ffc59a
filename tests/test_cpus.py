"""How many CPUs may be used: affinity, and the control groups of Linux, both versions."""

import os

import pytest

from portanet import cpus
from portanet.cpus import usable_cpus

V2, V1 = "0::{}\n", "12:memory:{0}\n3:cpu,cpuacct:{0}\n0::{0}\n"
GROUPS = {  # what /proc says, the files of the groups, CPUs of the 8
    "none": (V2.format("/"), {}, 8),
    "no limit": (V2.format("/"), {"cpu.max": "max 100000\n"}, 8),
    "two": (V2.format("/"), {"cpu.max": "200000 100000\n"}, 2),
    "one and a half": (V2.format("/"), {"cpu.max": "150000 100000\n"}, 2),
    "a tenth": (V2.format("/"), {"cpu.max": "10000 100000\n"}, 1),
    "more than there are": (V2.format("/"), {"cpu.max": "1600000 100000\n"}, 8),
    "of a service": (V2.format("/a/b.service"), {"a/b.service/cpu.max": "300000 100000\n"}, 3),
    "of a slice": (
        V2.format("/a/b.service"),
        {"a/b.service/cpu.max": "700000 100000\n", "a/cpu.max": "400000 100000\n"},
        4,
    ),
    "of another": (V2.format("/a"), {"b/cpu.max": "100000 100000\n"}, 8),
    "not seen from within": (V2.format("/docker/0a1b"), {"cpu.max": "500000 100000\n"}, 5),
    "version 1": (
        V1.format("/"),
        {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        3,
    ),
    "version 1, no limit": (
        V1.format("/"),
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        8,
    ),
    "version 1, not seen from within": (
        V1.format("/docker/0a1b"),
        {"cpu/cpu.cfs_quota_us": "600000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        6,
    ),
    "nonsense": (V2.format("/"), {"cpu.max": "\n"}, 8),
}


@pytest.fixture
def eight(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    monkeypatch.setattr(cpus, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cpus, "OWN", tmp_path / "own")


@pytest.mark.parametrize("kind", GROUPS)
def test_a_share_of_the_time_counts_as_so_many_cpus(tmp_path, eight, kind):
    own, files, expected = GROUPS[kind]
    (tmp_path / "own").write_text(own, encoding="utf-8")
    (tmp_path / "cpu.max").write_text("100000 100000\n", encoding="utf-8")  # outside
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert usable_cpus() == expected


def test_without_control_groups(eight):
    assert usable_cpus() == 8


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"process_cpu_count": 3, "cpu_count": 8}, 3),
        ({"sched_getaffinity": {1, 4}, "cpu_count": 8}, 2),
        ({"cpu_count": 8}, 8),  # macOS, Windows
        ({"cpu_count": None}, 1),
    ],
)
def test_what_systems_and_pythons_tell(eight, monkeypatch, known, expected):
    for name in ("process_cpu_count", "sched_getaffinity", "cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    for name, value in known.items():
        monkeypatch.setattr(os, name, lambda *_, value=value: value, raising=False)
    assert usable_cpus() == expected
