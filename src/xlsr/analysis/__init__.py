"""What a pre-trained encoder has learnt, without fine-tuning it. Floor 5.

    codes.py     which codebook entries each language uses, and which languages use the same
    probing.py   how well phones can be told from the frames of each layer
    storing.py   the frames of a layer in shards, for students to learn from
    pieces.py    utterances -> batches of bounded length
    encode.py    the network; the one module that needs torch, but for training's teacher, which `storing` asks

Counting and comparing is NumPy and stands below (`similarity`, `classifiers`); reports are read without torch.
"""
