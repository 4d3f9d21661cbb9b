"""The families of languages, and whether languages of one family are more alike than others.

The test shuffles the families among the languages, so that a family of many members weighs the same in every draw. It
says that families and similarities go together, not why: recordings of one family may also share microphones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xlsr.errors import ManifestError

PERMUTATIONS = 10_000


@dataclass(frozen=True)
class FamilyTest:
    """Similarity within families against similarity between them.

    Attributes:
        within: mean over pairs of one family.
        between: mean over pairs of two.
        p: the chance of a difference as large if families were dealt to languages at random; one-sided.
        languages: whose family is known.
        families: of these languages.
        pairs: of one family.
    """

    within: float
    between: float
    p: float
    languages: int
    families: int
    pairs: int

    @property
    def difference(self) -> float:
        """Within minus between; positive where families show."""
        return self.within - self.between


def read_families(path: Path | str | None = None) -> dict[str, str]:
    """Read which family each language belongs to: ISO 639-3 code -> family.

    Args:
        path: lines of code, tab, family; # begins a comment. Default: the table in the package.

    Raises:
        ManifestError: the file cannot be read, or a line has another form.
    """
    path = Path(path) if path is not None else Path(__file__).with_name("families.tsv")
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"table of families {path} cannot be read: {error}") from error
    families = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        code, _, family = line.partition("\t")
        if not code.strip() or not family.strip():
            raise ManifestError(f"{path} line {number} is {line!r}; a language code, a tab and its family are wanted")
        families[code.strip()] = family.strip()
    return families


def compare_families(
    similarity: NDArray[np.float64],
    languages: Sequence[str],
    families: Mapping[str, str],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> FamilyTest | None:
    """Hold similarities within families against those between.

    Args:
        similarity: (languages, languages), symmetric.
        languages: their codes.
        families: by code; languages that are not there are left out.
        permutations: how often families are dealt anew.
        seed: of the draws.

    Returns:
        None where the known families make no pair within, or none between.
    """
    known = [place for place, code in enumerate(languages) if code in families]
    names, labels = np.unique([families[languages[place]] for place in known], return_inverse=True)
    above = np.triu_indices(len(known), 1)
    values = similarity[np.ix_(known, known)][above]
    same = _same(labels, above)
    pairs = int(same.sum())
    if not 0 < pairs < len(values):
        return None
    total, observed = values.sum(), values[same].sum()
    rng = np.random.default_rng(seed)
    # The number of pairs within is always the same, so that their sum tells the difference of the means.
    drawn = [values[_same(rng.permutation(labels), above)].sum() for _ in range(permutations)]
    extreme = int(np.count_nonzero(np.array(drawn) >= observed - 1e-12 * abs(observed)))  # equal but for rounding
    between = (total - observed) / (len(values) - pairs)
    p = (extreme + 1) / (permutations + 1)
    return FamilyTest(float(observed / pairs), float(between), p, len(known), len(names), pairs)


def _same(labels: NDArray[np.int64], above: tuple[NDArray[np.int64], ...]) -> NDArray[np.bool_]:
    """Which pairs have one label."""
    same: NDArray[np.bool_] = labels[above[0]] == labels[above[1]]
    return same
