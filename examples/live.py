"""Live speech: chunks in, as a microphone or a telephone gives them; text out that no longer changes.

python examples/live.py [FILE]
"""

import sys
from pathlib import Path

import xlsr

CHUNK = 1_600  # a tenth of a second at 16 kHz

samples = xlsr.load_audio(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "digits.wav")
stream = xlsr.StreamingRecognizer(xlsr.load_model())
shown = ""
for start in range(0, len(samples), CHUNK):
    update = stream.feed(samples[start : start + CHUNK])
    if update.committed not in ("", shown):
        shown = update.committed
        print(f"{start / 16_000:5.1f} s: {shown} [{update.tentative}]")
    for utterance in update.finished:
        print(f"{utterance.start:.2f}-{utterance.end:.2f} s: {utterance.text}")
for utterance in stream.finish().finished:
    print(f"{utterance.start:.2f}-{utterance.end:.2f} s: {utterance.text}")
