"""Similarities, clusters and maps: by hand, against their definitions, and by what they promise on planted families."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xlsr.errors import ManifestError
from xlsr.similarity import (
    classical_scaling,
    cluster,
    compare_families,
    distances,
    divergences,
    entries_used,
    leaves,
    perplexities,
    read_families,
)


def entropy(shares) -> float:
    return -sum(share * math.log2(share) for share in shares if share)


def test_divergence_is_the_definition_averaged_over_groups() -> None:
    counts = np.array([[[1, 1, 0], [4, 0, 0]], [[0, 1, 3], [1, 2, 1]]])
    wanted = 0.0
    for one, other in zip(*counts.tolist(), strict=True):
        p, q = [x / sum(one) for x in one], [x / sum(other) for x in other]
        mixed = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        wanted += (entropy(mixed) - (entropy(p) + entropy(q)) / 2) / 2
    found = divergences(counts)
    np.testing.assert_allclose(found, [[0, wanted], [wanted, 0]], atol=1e-12)  # float64


def test_divergence_is_zero_for_the_same_shares_and_one_where_nothing_is_shared() -> None:
    counts = np.array([[[1, 3, 0, 0]], [[10, 30, 0, 0]], [[0, 0, 5, 2]]])
    np.testing.assert_allclose(divergences(counts), [[0, 0, 1], [0, 0, 1], [1, 1, 0]], atol=1e-12)


def test_a_language_without_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="without counts"):
        divergences(np.array([[[1, 2]], [[0, 0]]]))


def test_roots_of_divergences_are_distances() -> None:
    counts = np.random.default_rng(0).poisson(3, (12, 2, 20))
    found = distances(divergences(counts))
    assert (found[:, :, None] <= found[:, None, :] + found[None, :, :].transpose(0, 2, 1) + 1e-12).all()


def test_perplexity_of_even_use_is_the_number_of_entries() -> None:
    np.testing.assert_allclose(perplexities(np.array([[2, 2, 2, 0], [5, 0, 0, 0], [0, 0, 0, 0]])), [3, 1, 0])
    assert entries_used(np.array([[2, 2, 2, 0], [5, 0, 0, 0]])) == 4 / 8


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_those_of_the_definition(seed: int) -> None:
    """Brute force: at each step the mean over all pairs of points of every two clusters."""
    points = np.random.default_rng(seed).normal(size=(13, 3))
    far = np.linalg.norm(points[:, None] - points[None], axis=-1)
    groups = {place: [place] for place in range(13)}
    for number, merge in enumerate(cluster(far), 13):
        means = {
            (a, b): far[np.ix_(groups[a], groups[b])].mean() for a in groups for b in groups if a < b
        }  # fmt: skip
        nearest = min(means, key=means.__getitem__)
        assert (merge.left, merge.right) == nearest
        assert merge.distance == pytest.approx(means[nearest], abs=1e-12)
        groups[number] = groups.pop(merge.left) + groups.pop(merge.right)
    assert len(groups) == 1


def test_leaves_of_a_cluster_stand_together() -> None:
    line = np.array([0.0, 9.0, 0.1, 9.1, 0.3])
    order = leaves(cluster(np.abs(line[:, None] - line[None])))
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert {*order[:3]} == {0, 2, 4} or {*order[2:]} == {0, 2, 4}
    assert leaves(cluster(np.zeros((1, 1)))) == (0,)


def test_points_of_a_plane_keep_their_distances() -> None:
    points = np.random.default_rng(1).normal(size=(20, 2)) * [3, 1]
    far = np.linalg.norm(points[:, None] - points[None], axis=-1)
    places, share = classical_scaling(far)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places[None], axis=-1), far, atol=1e-9)
    assert share == pytest.approx(1.0)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-9)
    one, nothing = classical_scaling(np.zeros((1, 1)))
    assert one.tolist() == [[0, 0]]
    assert nothing == 0


def planted(rng: np.random.Generator, families: dict[str, str], effect: float) -> np.ndarray:
    """Similarities of noise, and `effect` more within a family."""
    names = list(families)
    noise = rng.normal(size=(len(names), len(names)))
    same = np.array([[families[a] == families[b] for b in names] for a in names])
    return (noise + noise.T) / 2 + effect * same


FAMILIES = {f"l{number:02}": "ABCD"[number % 4] for number in range(16)}


def test_p_is_uniform_without_families() -> None:
    rng = np.random.default_rng(0)
    found = [
        compare_families(planted(rng, FAMILIES, 0), list(FAMILIES), FAMILIES, permutations=99, seed=draw).p
        for draw in range(300)
    ]
    # Of 300 the share below q has the standard error sqrt(q (1 - q) / 300), 0.029 at most: four of them.
    for q in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.mean(np.array(found) <= q + 1e-9) == pytest.approx(q, abs=4 * math.sqrt(q * (1 - q) / 300))


def test_planted_families_are_found() -> None:
    values = planted(np.random.default_rng(0), FAMILIES, 1.5)
    found = compare_families(values, list(FAMILIES), FAMILIES, permutations=999)
    assert found.p == 1 / 1000
    assert (found.languages, found.families, found.pairs) == (16, 4, 4 * 6)
    pairs = [(a, b) for a in range(16) for b in range(a)]
    within = np.mean([values[a, b] for a, b in pairs if a % 4 == b % 4])
    between = np.mean([values[a, b] for a, b in pairs if a % 4 != b % 4])
    assert (found.within, found.between) == pytest.approx((within, between))
    assert found.difference == pytest.approx(within - between)


def test_unknown_languages_are_left_out_and_one_family_is_no_test() -> None:
    values = planted(np.random.default_rng(0), FAMILIES, 1.0)
    known = {name: family for name, family in FAMILIES.items() if name != "l03"}
    kept = [place for place, name in enumerate(FAMILIES) if name in known]
    assert compare_families(values, list(FAMILIES), known) == compare_families(
        values[np.ix_(kept, kept)], list(known), known
    )
    assert compare_families(values, list(FAMILIES), dict.fromkeys(FAMILIES, "A")) is None
    assert compare_families(values, list(FAMILIES), {}) is None


def test_the_table_of_families_has_known_members() -> None:
    table = read_families()
    assert len(table) > 90
    assert all(len(code) == 3 and code.isalpha() and code.islower() for code in table)
    wanted = {"deu": "Indo-European", "fin": "Uralic", "tur": "Turkic", "eus": "Basque", "twi": "Atlantic-Congo"}
    assert wanted.items() <= table.items()
    assert "epo" not in table


def test_a_damaged_table_is_named_by_its_line(tmp_path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("# mine\nxxa\tFirst\n\nxxb\n", "utf-8")
    with pytest.raises(ManifestError, match=r"mine\.tsv line 4 is 'xxb'"):
        read_families(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_families(tmp_path / "gone.tsv")
