"""What this machine can do, and whether the executor holds on it: the bodies of `doctor` and `check executor`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from tqdm.auto import tqdm

import clarify_rl
from clarify_rl.config import Config
from clarify_rl.engines import engine_for_evaluation, gpu_trouble
from clarify_rl.errors import DataError, ExecutorError, unknown_name
from clarify_rl.executor import Capabilities, Layer, capabilities
from clarify_rl.executor.capabilities import ADVICE, TIERS, WHAT
from clarify_rl.executor.check import Finding, Findings, check, check_limits
from clarify_rl.executor.corpus import MEANING, Kind, Program, bundled_corpus, read_corpus

SAFE_TIERS = ("A", "B")
LIBRARIES = {
    "ray": "environments on many processes and machines (env.workers)",
    "torch": "training and generation",
    "transformers": "models",
    "trl": "training",
    "vllm": "faster generation: pip install 'clarify-rl[vllm]'",
    "gguf": "GGUF models: pip install 'clarify-rl[gguf]'",
}
OPTIONAL = ("vllm", "gguf")
DEVICES = {"NVIDIA": "nvidia[0-9]*", "AMD": "kfd", "Intel": "accel/accel[0-9]*"}


# ---- doctor


def examine(console: Console) -> bool:
    """Prints versions, the executor's tier with each of its layers, and which libraries and GPUs there are.

    Returns whether untrusted programs are safe here.
    """
    console.print(f"[bold]clarify-rl {clarify_rl.__version__}[/bold]  Python {platform.python_version()}, {_system()}")
    try:
        found = capabilities()
    except ExecutorError as error:
        console.print(f"\n[bold]executor[/bold]  tier D: {TIERS['D']}\n  {escape(str(error))}", soft_wrap=True)
        found = Capabilities()
    else:
        print_capabilities(found, console)
    _print_libraries(console)
    return found.tier in SAFE_TIERS


def _system() -> str:
    return f"{platform.system()} {platform.release()}, {platform.machine()}"


def print_capabilities(capabilities: Capabilities, console: Console) -> None:
    """The tier and each layer in plain words: what it does, and where it does not work, why and what to do."""
    console.print(f"\n[bold]executor[/bold]  {_tier(capabilities)}")
    for layer in Layer:
        _print_line(layer, WHAT[layer], works=capabilities.works(layer), console=console)
        if not capabilities.works(layer):
            _print_note(f"does not work here: {capabilities.layers.get(layer, 'not tried')}", console)
            _print_note(f"to do: {ADVICE[layer]}", console)
    for escape_found in capabilities.escapes:
        console.print(f"  [red]a sealed program can still {escape(escape_found)}[/red]", soft_wrap=True)
    if capabilities.tier in SAFE_TIERS:
        console.print("Untrusted programs are safe to run. Try it: clarify-rl check executor")
    else:
        console.print("[red]Untrusted programs are not safe here, and are refused.[/red]")


def _tier(capabilities: Capabilities) -> str:
    colour = "green" if capabilities.tier in SAFE_TIERS else "red"
    return f"[{colour}]tier {capabilities.tier}[/{colour}]: {TIERS[capabilities.tier]}"


def _print_libraries(console: Console) -> None:
    console.print("\n[bold]libraries[/bold]")
    for name, use in LIBRARIES.items():
        installed = _installed(name)
        if installed or name not in OPTIONAL:
            _print_line(f"{name} {installed}".strip(), use, works=bool(installed), console=console)
        else:
            console.print(f"  [dim]- {name:<21} not installed; {escape(use)}[/dim]", soft_wrap=True)
    gpus, trouble = _gpus(), gpu_trouble()
    use = ", ".join(f"{count} {maker}" for maker, count in gpus.items()) or "none found; models run on the processor"
    _print_line("GPU", f"{use}, but {trouble}" if trouble else use, works=bool(gpus) and not trouble, console=console)
    _print_line("engine=auto", str(engine_for_evaluation(Config())), works=True, console=console)


def _installed(name: str) -> str:
    """The version of a library that can be imported; "" when there is none. Imports nothing."""
    try:
        return version(name) if find_spec(name) else ""
    except PackageNotFoundError:
        return ""


def _gpus() -> dict[str, int]:
    """How many device files of each maker there are: the driver makes them, whatever libraries are installed."""
    counts = {maker: len(list(Path("/dev").glob(pattern))) for maker, pattern in DEVICES.items()}
    return {maker: count for maker, count in counts.items() if count}


def _print_line(name: str, text: str, *, works: bool, console: Console) -> None:
    mark = "[green]✓[/green]" if works else "[red]✗[/red]"
    console.print(f"  {mark} {escape(name):<21} {escape(text)}", soft_wrap=True)


def _print_note(text: str, console: Console) -> None:
    console.print(Padding(escape(text), (0, 0, 0, 26)), highlight=False)


# ---- check executor


def corpus(path: str | None, limit: int | None) -> tuple[Program, ...]:
    """The programs of a file, or the bundled ones; of each kind the first `limit`."""
    programs = read_corpus(Path(path)) if path else bundled_corpus()
    if limit is None:
        return programs
    if limit < 1:
        raise DataError(f"--limit must be at least 1, found {limit}.")
    chosen = {program.name for kind in Kind for program in [p for p in programs if p.kind is kind][:limit]}
    return tuple(program for program in programs if program.name in chosen)


def check_executor(
    programs: Sequence[Program], cpu_s: float, servers: int, without: Sequence[str], console: Console
) -> bool:
    """Runs a corpus through the executor and prints what was wrong. Returns whether nothing was."""
    for layer in without:
        if layer not in list(Layer):
            raise ExecutorError(unknown_name("layer", layer, map(str, Layer)))
    limits = check_limits(cpu_s)
    console.print(
        f"[bold]check executor[/bold]: {len(programs)} programs, {servers} at a time, up to {cpu_s:g} processor "
        "seconds each; it writes nothing but a temporary folder"
    )
    with tqdm(total=len(programs), desc="check", unit="program", dynamic_ncols=True) as bar:

        def show(_: Finding) -> None:
            bar.update()

        findings = check(programs, limits, servers=servers, without=without, on_finding=show)
    print_findings(findings, console)
    return findings.holds


def print_findings(findings: Findings, console: Console) -> None:
    """The tier, a row for each kind of program, and everything that was wrong by name."""
    console.print(_tier(findings.capabilities), soft_wrap=True)
    for layer, why in findings.capabilities.layers.items():
        if why:
            console.print(f"  [dim]no {escape(layer)}: {escape(why)}[/dim]", soft_wrap=True)
    console.print()
    console.print(_by_kind(findings.programs))
    console.print()
    for finding in findings.faults:
        what = f"[red]{finding.fault}[/red]  {finding.program.kind}  [bold]{escape(finding.program.name)}[/bold]"
        console.print(what, soft_wrap=True)
        console.print(Padding(escape(finding.why), (0, 0, 0, 2)), highlight=False)
    for leftover in findings.leftovers:
        console.print(f"[red]left behind[/red]  {escape(leftover)}", soft_wrap=True)
    wrong = len(findings.faults) + len(findings.leftovers)
    if wrong:
        console.print(f"[red]The executor does not hold: {wrong} faults.[/red]")
    else:
        console.print("[green]The executor holds[/green]: no false pass, no escape, nothing left behind.")


def _by_kind(programs: Sequence[Finding]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("kind")
    table.add_column("programs that", overflow="fold")
    for header in ("n", "wrong", "not measured", "slowest"):
        table.add_column(header, justify="right", no_wrap=True)
    for kind in Kind:
        group = [finding for finding in programs if finding.program.kind is kind]
        if not group:
            continue
        wrong = sum(finding.fault is not None for finding in group)
        unmeasured = sum(finding.unmeasured for finding in group)
        slowest_s = max(finding.seconds for finding in group)
        cells = (str(len(group)), str(wrong), str(unmeasured), f"{slowest_s:.1f} s")
        table.add_row(kind, MEANING[kind], *cells, style="red" if wrong else "")
    return table
