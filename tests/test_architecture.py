"""The import graph: acyclic, and pointing one way, in the order of the layout. Imports inside functions count too."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import codeact

ROOT = Path(codeact.__file__).parent

# A file may import from its own group and from groups above it. `agent` looks down at the parts it joins, and `events`
# holds a `Turn`, so these two stand lower than in the design's list of files.
ORDER = [
    ["errors"],
    ["addresses"],
    ["messages"],
    ["actions"],
    ["trajectory"],
    ["events"],
    ["protocols"],
    ["tasks"],
    ["loop", "compaction", "conversation", "recording", "resuming", "keeping", "result", "watching"],
    ["plugins"],
    ["kernel"],
    ["tools"],
    ["formats"],
    ["interpreter", "backends"],
    ["models"],
    ["settings"],
    ["prompts"],
    ["environments"],
    ["data"],
    ["suites"],
    ["evals"],
    ["export"],
    ["asking", "options", "agent"],
    ["demo"],
    ["chats"],
    ["server", "integrations"],
    ["web"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, group in enumerate(ORDER) for name in group}
STRANGERS = [("formats", "interpreter"), ("formats", "tools"), ("formats", "models"), ("models", "interpreter"),
             ("models", "tools"), ("interpreter", "formats"), ("models", "formats"), ("tools", "formats")]  # fmt: skip
FRONT_DOOR = "codeact"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str) -> set[str]:
    """Modules of the package that a file imports anywhere, save those for type checkers."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            source = node.module or "" if not node.level else ".".join(filter(None, (base, node.module)))
            found.update(f"{source}.{alias.name}" if f"{source}.{alias.name}" in MODULES else source for alias in node.names)
    return {name for name in found if name in MODULES and name != module}


GRAPH = {module: imports_of(module) for module in MODULES}


def group(module: str) -> str:
    return module.split(".")[1] if "." in module else FRONT_DOOR


def test_every_file_has_its_place_in_the_order():
    assert {group(module) for module in MODULES} - {FRONT_DOOR} - set(RANK) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module != FRONT_DOOR])
def test_imports_point_one_way(module):
    # `__version__` may be had from the front door, which itself imports nothing when it is imported.
    faces = ("cli", "server", "integrations", "web")
    targets = {target for target in GRAPH[module] if target != FRONT_DOOR or group(module) not in faces}
    wrong = {target for target in targets if group(target) == FRONT_DOOR or RANK[group(target)] > RANK[group(module)]}
    assert wrong == set()


def test_no_file_imports_itself_in_the_end():
    order = TopologicalSorter({module: targets for module, targets in GRAPH.items() if module != FRONT_DOOR})
    order.prepare()


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_parts_that_environments_bring_together_do_not_know_one_another(one, other):
    edges = [(module, target) for module in MODULES if group(module) == one for target in GRAPH[module]]
    assert [edge for edge in edges if group(edge[1]) == other] == []


def test_the_host_knows_three_files_of_the_kernel_only():
    # Those that both sides run: frames, values, and the relay's stream
    allowed = {"codeact.kernel.wire", "codeact.kernel.values", "codeact.kernel.channels", "codeact.kernel"}
    # The back-end without a process of its own is a kernel: it runs cells right here
    hosts = [module for module in MODULES if group(module) != "kernel" and not module.removeprefix("codeact.backends.").lstrip("_").startswith("inprocess")]
    known = {target for module in hosts for target in GRAPH[module]}
    assert {target for target in known if group(target) == "kernel"} <= allowed


@pytest.mark.parametrize("statement", ["import codeact", "import codeact.loop, codeact.cli", "import codeact.cli.task"])
def test_nothing_heavy_is_imported_before_it_is_needed(statement):
    heavy = ["numpy", "pandas", "matplotlib", "IPython", "openai", "rich", "asyncio", "pydantic", "httpx"]
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
