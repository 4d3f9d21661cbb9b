"""A folder of recordings: in order, batched by length, and a bad one does not stop the rest.

python examples/many.py FILE…
"""

import sys
from pathlib import Path

import xlsr

paths = [Path(name) for name in sys.argv[1:]] or [Path(__file__).parent / "digits.wav", Path("missing.wav")]
for result in xlsr.load_model().transcribe_many(paths):
    if isinstance(result, xlsr.Failure):
        print(f"failed: {result.error}")
    else:
        print(f"{result.audio.name}: {result.text}")
