"""Files <-> (config, weights, tokenizer). Floor 3."""
