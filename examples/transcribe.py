"""Load, transcribe, look at the words.

python examples/transcribe.py [FILE]
"""

import sys
from pathlib import Path

import xlsr

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "digits.wav"
model = xlsr.load_model()
result = model.transcribe(path)
print(result.text)
for word in result.words:
    print(f"{word.start:6.2f} {word.end:6.2f}  {word.score:.2f}  {word.text}")
