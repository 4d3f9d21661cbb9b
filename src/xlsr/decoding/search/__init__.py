"""CTC prefix beam search, compiled. Floor 2.

The paths of one prefix are added up (or the best is taken) in two sums: those that end in a blank, and those that end
in the prefix's last token; a token after itself follows from the first only. With a word delimiter, words end where it
is heard or where the recording ends, and further delimiters there change nothing: neither text nor costs.

Two ways to tell prefixes apart. *Open*: by their tokens; any word may be spelt, and the lexicon, if any, tells known
words from unknown ones. *Closed*: by the words finished, however they were spelt, and the place in the lexicon's trie.

`model` is what a search knows, as arrays and numbers; `prefixes` are what it weighs; `steps` says what may follow a
prefix, and what it costs; `loop` goes over the frames. None knows words or files: `beam` does.

Source: Hannun et al. 2014 (prefix search); Collobert et al. 2016 (the lexicon and its look-ahead).
"""
