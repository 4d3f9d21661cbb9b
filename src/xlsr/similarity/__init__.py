"""How alike languages are by what they use of a common inventory. Floor 1; NumPy only.

    usage.py      counts of codebook entries -> perplexities, shares in use, Jensen-Shannon similarities
    maps.py       distances -> clusters (average linkage) and a plane (classical scaling)
    families.py   the families of languages, and whether those of one family are more alike than others

Knows no network, audio or manifest (`analysis` does): any counts of symbols by language will do.
"""

from xlsr.similarity.families import FamilyTest, compare_families, read_families
from xlsr.similarity.maps import Merge, classical_scaling, cluster, leaves
from xlsr.similarity.usage import distances, divergences, entries_used, perplexities

__all__ = [
    "FamilyTest",
    "Merge",
    "classical_scaling",
    "cluster",
    "compare_families",
    "distances",
    "divergences",
    "entries_used",
    "leaves",
    "perplexities",
    "read_families",
]
