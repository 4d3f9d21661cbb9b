"""The border between the network and the rest: log-probabilities, 50 frames a second, as a NumPy array.

python examples/log_probs.py
"""

from pathlib import Path

import xlsr

model = xlsr.load_model()
log_probs = model.log_probs(Path(__file__).parent / "digits.wav")
frames, symbols = log_probs.shape
print(f"{frames} frames of {symbols} symbols; {frames / 50:.2f} s")
print("best path:", model.tokenizer.decode(log_probs.argmax(-1)))
