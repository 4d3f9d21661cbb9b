"""What stands beside the weights, where transformers 5 put it elsewhere or another family wants other keys."""

from __future__ import annotations

import json

import pytest
import transformers

from tests.models import ARCHITECTURES, MORE
from xlsr.checkpoint.folder import Description, read_description, write_description
from xlsr.config import Wav2Vec2Config
from xlsr.errors import ConfigError
from xlsr.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_symbols(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "c"])
BERT = Wav2Vec2Config.from_dict(MORE["bert"])


def test_a_preprocessor_inside_the_processor_counts(tmp_path) -> None:
    config = Wav2Vec2Config.from_dict(ARCHITECTURES["base"])
    write_description(Description(config, TOKENIZER), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=False)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    transformers.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert not read_description(tmp_path).normalizes


def test_a_bert_folder_has_its_own_processor(tmp_path) -> None:
    write_description(Description(BERT, TOKENIZER), tmp_path)
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert type(processor).__name__ == "Wav2Vec2BertProcessor"
    assert type(processor.feature_extractor).__name__ == "SeamlessM4TFeatureExtractor"


@pytest.mark.parametrize(("key", "value"), [("stride", 1), ("num_mel_bins", 128), ("feature_extractor_type", "Other")])
def test_another_front_end_is_refused_by_name(tmp_path, key: str, value: object) -> None:
    write_description(Description(BERT), tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ConfigError, match=f"{key} is {value!r}"):
        read_description(tmp_path)
