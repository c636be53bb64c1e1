"""A Llama of a few thousand random weights, with a tokenizer of words, saved as transformers want them."""

from pathlib import Path

WORDS = ["hello", "world", "one", "two", "three", "stop", "here", "again"]
TEMPLATE = "{% for m in messages %}{{ m.role + ' ' + m.content + ' <end> ' }}{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE


def made(folder: Path, *, template: str = TEMPLATE, context: int = 64, ends: bool = False) -> Path:
    """Save it; it writes words without an end, or with `ends` nothing but the end."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["<unk>", "<end>", "system", "user", "assistant", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<end>", model_max_length=context)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=context, eos_token_id=1, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.suppress_tokens = [n for n in vocabulary.values() if ends is not (n == 1) and (ends or n < 5)]
    model.save_pretrained(folder)
    return folder
