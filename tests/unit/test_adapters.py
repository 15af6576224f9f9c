"""Adapters: fresh on a merged model or continued, the reference that each has, what is checked first, and exports."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from clarify_rl.cli import main
from clarify_rl.config import Config, EnvConfig, RewardConfig, SFTSection
from clarify_rl.config_files import load_config
from clarify_rl.demonstrations import demonstrate
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.pipeline.checkpoints import rl_start
from clarify_rl.policies.models import LoadedModel, embedded_folder, load_model, quantized
from clarify_rl.pool import LocalPool, RewardSpec
from clarify_rl.rl_sections import RLSection
from clarify_rl.sections import CONTINUE, Lora
from clarify_rl.store import Run
from clarify_rl.training import adapters, checkpoints
from clarify_rl.training.adapters import adapter_for, lora_config
from clarify_rl.training.export import export_adapter, export_model
from clarify_rl.training.rl import train_rl
from clarify_rl.training.sft import train_sft
from tests.dialogues import CLEAR, SPEC, UNCLEAR, chat

LETTERS = f"{Path(__file__).parents[1] / 'plugins.py'}:letters"
LIMITS = DialogueLimits(max_questions=2, turn_tokens=40, total_tokens=160)
LORA: dict[str, Any] = {"r": 4, "target_modules": "all-linear"}  # Any: peft's own options
Algorithm = Literal["grpo", "ppo"]
IDS = torch.tensor([[5, 6, 7, 300, 41, 9]])


def config(lora: Lora, algorithm: Algorithm = "grpo", **trainer: object) -> Config:
    options = {
        "max_steps": 2,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "beta": 0.1,
        "save_strategy": "no",
        "shuffle_dataset": False,
    }
    rewards = (RewardConfig(use=LETTERS),)
    section = RLSection(algorithm=algorithm, trainer={**options, **trainer}, lora=lora)
    return Config(sft=None, rl=section, rewards=rewards, env=EnvConfig(max_failed_share=0.5))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


@pytest.fixture(scope="module")
def sft_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of an SFT with an adapter: merged, with the adapter beside it."""
    trainer = {
        "max_steps": 4,
        "learning_rate": 1e-2,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "metric_for_best_model": "eval_loss",
        "save_strategy": "no",
        "max_length": None,
    }
    section = SFTSection(lora=LORA, trainer=trainer)
    with (
        Run.create(tmp_path_factory.mktemp("sft") / "run", "seed: 0\n", ["pytest"]) as made,
        closing(LocalPool(SPEC)) as pool,
    ):
        shown = demonstrate([UNCLEAR, CLEAR], pool=pool, chat=chat(), limits=LIMITS, seed=0)
        return train_sft(load_model("embedded", device="cpu"), shown, shown, section, made, 0)


def train(run: Run, loaded: LoadedModel, made: Config) -> Path:
    assert made.rl is not None
    with closing(LocalPool(replace(SPEC, rewards=(RewardSpec(LETTERS),)))) as pool:
        function = train_rl
        return function(loaded, [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)


def logits(model: Any) -> torch.Tensor:  # Any: transformers' or peft's
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(IDS).logits.float()
    return found


def of(spec: Path | str) -> torch.Tensor:
    return logits(load_model(str(spec), device="cpu").model)


def first_kl(run: Run) -> float:
    return next(float(row["train/kl"]) for row in run.read_metrics() if "train/kl" in row)


# ---- what is trained, and against which reference


def test_sft_with_an_adapter_leaves_a_merged_model_and_the_adapter_on_its_base(sft_model: Path) -> None:
    assert (
        json.loads((sft_model / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "embedded"
    )
    assert torch.allclose(of(sft_model), of(sft_model / "adapter"), atol=1e-4)
    assert not torch.allclose(of(sft_model), of("embedded"), atol=1e-2)


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
@pytest.mark.parametrize("lora", [LORA, CONTINUE], ids=["fresh", "continued"])
def test_rl_starts_at_its_reference_which_is_the_sft_policy(
    run: Run, sft_model: Path, lora: Lora, algorithm: Algorithm
) -> None:
    start = sft_model / ("adapter" if lora == CONTINUE else "")
    folder = train(run, load_model(str(start), device="cpu"), config(lora, algorithm))
    assert first_kl(run) == pytest.approx(0.0, abs=1e-6)
    assert torch.allclose(of(folder), of(folder / "adapter"), atol=1e-4)
    assert not torch.allclose(of(folder), of(sft_model), atol=1e-2)
    named = json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == ("embedded" if lora == CONTINUE else str(sft_model))


def test_the_reference_of_a_continued_adapter_stays_sfts_adapter_and_is_not_saved(
    run: Run, sft_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference: dict[str, torch.Tensor] = {}

    def keep(model: PeftModel, adapter: Path) -> PreTrainedModel:
        reference.update({name: weight.clone() for name, weight in model.state_dict().items() if ".ref." in name})
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert trained == {name.replace(".ref.", ".default.") for name in reference}
        return adapters.merged(model, adapter)

    monkeypatch.setattr(checkpoints, "merged", keep)
    folder = train(run, load_model(str(sft_model / "adapter"), device="cpu"), config(CONTINUE))
    before = load_file(sft_model / "adapter" / "adapter_model.safetensors")
    after = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert len(reference) == len(before) == len(after)
    for name, weight in before.items():
        assert torch.equal(reference[name.replace(".weight", ".ref.weight")], weight)
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert not (folder / "adapter" / "ref").exists()


def test_a_continued_adapter_resumes_to_the_same_weights(run: Run, sft_model: Path) -> None:
    made = config(CONTINUE, save_strategy="steps", save_steps=1)
    start = str(sft_model / "adapter")
    file = train(run, load_model(start, device="cpu"), made) / "adapter" / "adapter_model.safetensors"
    before = file.read_bytes()
    shutil.rmtree(run.model_folder("rl"))
    shutil.rmtree(run.folder / "checkpoints" / "rl" / "checkpoint-2")
    train(run, load_model(start, device="cpu"), made)
    assert file.read_bytes() == before


def test_rl_starts_from_what_its_configuration_says(tmp_path: Path) -> None:
    for lora, wanted in ((None, "models/sft"), (LORA, "models/sft"), (CONTINUE, "models/sft/adapter")):
        made = Config(sft=SFTSection(lora=LORA), rl=RLSection(lora=lora))
        assert rl_start(made, tmp_path) == str(tmp_path / wanted)
    assert rl_start(Config(sft=None), tmp_path) == "embedded"


# ---- what is checked first


def test_a_policy_that_does_not_start_at_its_reference_is_stopped_before_the_first_episode(
    run: Run, sft_model: Path
) -> None:
    loaded = load_model(str(sft_model), device="cpu")
    loaded.model.config._name_or_path = str(embedded_folder())  # TRL reads the reference from there
    with pytest.raises(ClarifyError, match=r"starts \d.* nats a token away .*assets/base, which holds other weights"):
        train(run, loaded, config(None))
    assert not (run.folder / "episodes" / "rl.jsonl").exists()


def test_without_a_reference_nothing_is_compared_with_it(run: Run, sft_model: Path) -> None:
    loaded = load_model(str(sft_model), device="cpu")
    loaded.model.config._name_or_path = str(embedded_folder())
    train(run, loaded, config(None, beta=0.0, max_steps=1))


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_policy_without_a_weight_to_train_is_stopped_though_a_critic_has_some(run: Run, algorithm: Algorithm) -> None:
    loaded = load_model("embedded", device="cpu")
    loaded.model.requires_grad_(False)
    with pytest.raises(ClarifyError, match=r"No weight of the policy would be trained.*is_trainable=True"):
        train(run, loaded, config(None, algorithm, beta=0.0))


def test_an_adapter_and_its_configuration_must_fit() -> None:
    plain = load_model("embedded", device="cpu").model
    with pytest.raises(ConfigError, match=r"rl\.lora=continue: embedded has no adapter.*rl\.lora\.r=16"):
        adapter_for("rl.lora", CONTINUE, plain)
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules="all-linear"))
    for lora in (None, LORA):
        with pytest.raises(ConfigError, match=r"is an adapter already.*rl\.lora=continue.*clarify-rl export"):
            adapter_for("rl.lora", lora, adapted)
    assert adapter_for("rl.lora", CONTINUE, adapted) is None


def test_a_model_that_reads_padded_prompts_otherwise_is_not_trained(run: Run) -> None:
    """Learned positions: TRL pads on the left, and tells no positions."""
    torch.manual_seed(0)
    known = load_model("embedded", device="cpu").tokenizer
    shape = GPT2Config(vocab_size=len(known), n_embd=32, n_layer=2, n_head=2, initializer_range=0.5, eos_token_id=2)
    loaded = LoadedModel(GPT2LMHeadModel(shape).eval(), known, "gpt2")
    with pytest.raises(ClarifyError, match=r"reads a prompt otherwise when padding stands before it.*rotary"):
        train(run, loaded, config(None, beta=0.0))


def test_an_adapter_that_could_not_be_merged_is_not_trained(run: Run) -> None:
    with pytest.raises(ClarifyError, match=r"not merged into its base.*leave embed_tokens out"):
        train(run, load_model("embedded", device="cpu"), config({"r": 4, "target_modules": ["embed_tokens"]}))


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"r": 4, "target_modules": ["query"]}, r"rl\.lora: Target modules .*query.* not found"),
        ({"r": 4, "target_modules": ["q_proj", "lm_head"]}, r"rl\.lora: .*lm_head"),
        ({"rank": 4}, r"rl\.lora: .*rank.*those of peft's LoraConfig"),
    ],
)
def test_an_adapter_that_the_model_cannot_take_names_its_option(run: Run, lora: Lora, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(run, load_model("embedded", device="cpu"), config(lora))


def test_pefts_options_go_through_untouched() -> None:
    made = lora_config("rl.lora", {"r": 3, "use_dora": True, "lora_alpha": 7, "layers_to_transform": [1]})
    assert made is not None
    assert (made.r, made.use_dora, made.lora_alpha, made.layers_to_transform) == (3, True, 7, [1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rl.lora=continue"], "rl.lora=continue needs an adapter of SFT to go on with. Set sft.lora"),
        (["rl.lora=resume"], "rl.lora"),
        (["model.quantization.load_in_4bit=true"], "only an adapter on them. Set sft.lora"),
        (["model.quantization.load_in_4bit=true", "sft.lora.r=4"], "only an adapter on them. Set rl.lora"),
        (
            [
                "model.quantization.load_in_4bit=true",
                "sft.lora.r=4",
                "rl.lora.r=4",
                "rl.algorithm=ppo",
                "rl.ppo.critic=own",
            ],
            "Take rl.ppo.critic=shared",
        ),
    ],
)
def test_a_configuration_that_cannot_train_says_what_to_type(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", overrides)
    assert message in str(caught.value)


def test_a_configuration_may_continue_sfts_adapter_from_the_command_line() -> None:
    made = load_config("demo", ["sft.lora.r=4", "sft.lora.target_modules=all-linear", "rl.lora=continue"])
    assert made.rl is not None
    assert made.rl.lora == CONTINUE


# ---- exports


KINDS: list[dict[str, Any]] = [
    {"target_modules": "all-linear"},
    {"target_modules": ["q_proj", "v_proj"], "use_rslora": True, "lora_alpha": 3},
    {"target_modules": "all-linear", "use_dora": True},
    {"target_modules": ["down_proj"], "modules_to_save": ["norm"]},
]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(options))
def test_a_merged_export_says_what_the_adapter_says_and_anyone_loads_it(
    options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    base = load_model("embedded", device="cpu")
    start = logits(base.model)
    tuned = get_peft_model(base.model, LoraConfig(r=4, init_lora_weights=False, **options))
    tuned.save_pretrained(str(tmp_path / "adapter"))
    wanted = logits(tuned)
    assert main(["export", str(tmp_path / "adapter"), "--out", str(tmp_path / "out")]) == 0
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.allclose(logits(model), wanted, atol=1e-4)
    assert not torch.allclose(wanted, start, atol=1e-2)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": "Write f(xs)."}]
    assert tokenizer.apply_chat_template(messages) == base.tokenizer.apply_chat_template(messages)


def test_an_exported_adapter_names_its_base_so_that_peft_finds_it_from_anywhere(
    sft_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sft_model.parent)
    on_a_folder = get_peft_model(
        load_model("sft", device="cpu").model, LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear")
    )
    on_a_folder.save_pretrained("relative")
    for source, base in (("sft", embedded_folder()), ("relative", sft_model)):
        out = tmp_path / source
        assert export_adapter(source, out) == str(base.resolve())
        wanted = of(sft_model.parent / source)
        os.chdir("/")
        assert torch.allclose(
            logits(AutoPeftModelForCausalLM.from_pretrained(out, dtype=torch.float32)), wanted, atol=1e-4
        )
        monkeypatch.chdir(sft_model.parent)


def test_half_precision_is_written_from_a_merge_in_full_precision(sft_model: Path, tmp_path: Path) -> None:
    export_model(str(sft_model / "adapter"), tmp_path / "half", "bfloat16")
    full, half = load_file(sft_model / "model.safetensors"), load_file(tmp_path / "half" / "model.safetensors")
    assert {weight.dtype for weight in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], full[name].bfloat16()) for name in half)


def test_an_export_that_cannot_be_says_what_to_do(
    sft_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(sft_model / "adapter", adapter)
    for base, message in (
        ("model.gguf", "Leave --adapter out"),
        ("runs/gone/models/sft", "no such folder here"),
        (None, "not named"),
    ):
        changed = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": base}
        (adapter / "adapter_config.json").write_text(json.dumps(changed))
        with pytest.raises(ClarifyError, match=message):
            export_adapter(str(adapter), tmp_path / "out")
    with pytest.raises(ClarifyError, match=r"holds no adapter.*Leave --adapter out"):
        export_adapter(str(embedded_folder()), tmp_path / "out")
    with pytest.raises(ClarifyError, match="Did you mean 'bfloat16'"):
        export_model("embedded", tmp_path / "out", "bfloat")
    assert main(["export", "embedded", "--out", str(adapter)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_an_adapter_on_embeddings_that_are_the_head_too_is_not_merged_into_both(
    sft_model: Path, tmp_path: Path
) -> None:
    tuned = get_peft_model(
        load_model("embedded", device="cpu").model,
        LoraConfig(r=4, init_lora_weights=False, target_modules=["embed_tokens", "o_proj"]),
    )
    tuned.save_pretrained(str(tmp_path / "adapter"))
    with pytest.raises(ClarifyError, match=r"would say something else .*leave embed_tokens out"):
        export_model(str(tmp_path / "adapter"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_with_a_broken_weight_is_not_merged(sft_model: Path, tmp_path: Path) -> None:
    shutil.copytree(sft_model / "adapter", tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = {name: torch.full_like(weight, float("nan")) for name, weight in load_file(file).items()}
    save_file(weights, file)
    with pytest.raises(ClarifyError, match="no finite numbers"):
        export_model(str(tmp_path / "adapter"), tmp_path / "out")


# ---- quantised bases


def test_a_quantised_base_needs_a_gpu_and_its_library_and_options_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    with pytest.raises(ClarifyError, match=r"needs a GPU, and the device here is cpu"):
        load_model("embedded", device="cpu", quantization={"load_in_4bit": True})
    with pytest.raises(ClarifyError, match=r"model\.quantization: .*'load_4bit'.*Did you mean 'load_in_4bit'"):
        quantized({"load_4bit": True}, gpu)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClarifyError, match=r'pip install "clarify-rl\[quantization\]"'):
        quantized({"load_in_4bit": True}, gpu)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    how = quantized({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, gpu)
    assert how["quantization_config"].bnb_4bit_quant_type == "nf4"
    assert how["device_map"] == {"": gpu}


@pytest.mark.gpu
@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_an_adapter_trains_on_a_quantised_base_and_is_merged_into_the_whole_one(run: Run, algorithm: Algorithm) -> None:
    pytest.importorskip("bitsandbytes")
    options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    loaded = load_model("embedded", dtype="bfloat16", device="cuda", quantization=options)
    folder = train(run, loaded, config(LORA, algorithm))
    assert first_kl(run) == pytest.approx(0.0, abs=1e-4)
    merged = load_file(folder / "model.safetensors")
    plain = load_model("embedded", dtype="bfloat16", device="cpu").model.state_dict()
    assert {name: weight.shape for name, weight in merged.items()}.items() <= {
        n: w.shape for n, w in plain.items()
    }.items()
    assert any(not torch.equal(merged[name], plain[name].to(merged[name])) for name in merged)
