"""What snippets import that is not preloaded: it can be loaded, and behaves as if it were."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.elf import libraries_of, needed
from coevolve.sandbox.environment import folder_for
from coevolve.sandbox.pool import SandboxPool

_PACKAGES = ("numpy", "scipy")
_LIMITS = Limits(cpu_s=30.0, wall_s=120.0)


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "none"])
def unloaded(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """Both packages are there, neither is preloaded."""
    folder = str(folder_for(_PACKAGES, None))
    with SandboxPool(environment=folder, namespaces=request.param, limits=_LIMITS, max_sessions=2) as pool:
        yield pool


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import numpy; print(numpy.linalg.det(numpy.eye(3)), numpy.fft.fft([1, 0])[1].real)", "1.0 1.0"),
        ("import scipy.linalg; print(scipy.linalg.norm([3.0, 4.0]))", "5.0"),
        ("import scipy.optimize as o; print(round(o.brentq(lambda x: x * x - 2, 0, 2), 6))", "1.414214"),
        ("from scipy import sparse, special; print(special.comb(5, 2), sparse.eye(2).nnz)", "10.0 2"),
    ],
)
def test_packages_with_extension_modules_can_be_imported(unloaded: SandboxPool, code: str, said: str) -> None:
    result = unloaded.run(code)
    assert (result.status, result.stdout, result.stderr) == (Status.OK, said + "\n", "")


def test_numbers_drawn_are_those_of_a_preloaded_package(unloaded: SandboxPool) -> None:
    code = "import numpy; print(numpy.random.random(3).tolist(), numpy.random.randint(99))"
    with SandboxPool(environment=str(folder_for(_PACKAGES, None)), preload=("numpy",), limits=_LIMITS) as loaded:
        expected = loaded.run(code).stdout
        assert expected.startswith("[0.")
        assert loaded.run(code, "session").stdout == expected
    assert unloaded.run(code).stdout == unloaded.run(code, "session").stdout == expected
    indirect = "import importlib\nnumpy = importlib.import_module('num' + 'py')\n" + code.partition("; ")[2]
    assert unloaded.run(indirect).stdout == expected


def test_numeric_libraries_have_one_thread_whoever_imports_them(unloaded: SandboxPool) -> None:
    count = "import ctypes, os, numpy; numpy.ones((300, 300)) @ numpy.ones((300, 300))\n"
    count += "get = ctypes.CDLL(None).getenv; get.restype = ctypes.c_char_p\n"
    count += "print(dict(os.environ), get(b'OPENBLAS_NUM_THREADS'), get(b'OMP_NUM_THREADS'))"
    assert unloaded.run(count).stdout == "{} b'1' b'1'\n"


_NEEDS_A_FOLDER = """
import os, tempfile, logging
from pathlib import Path
folder = Path(os.environ.get("MPLCONFIGDIR") or Path.home() / "matplotlib").resolve()
try: folder.mkdir(parents=True, exist_ok=True)
except OSError: logging.getLogger(__name__).warning("mkdir failed")
else:
    if not (os.access(str(folder), os.W_OK) and folder.is_dir()): tempfile.mkdtemp()
"""


def test_a_library_that_insists_on_a_folder_to_write_to_is_imported_quietly(tmp_path: Path) -> None:
    """As matplotlib does. Nothing is written, neither by the import of a snippet nor by a preload."""
    package = tmp_path / "matplotlib"
    package.mkdir()
    (package / "__init__.py").write_text(_NEEDS_A_FOLDER)
    (package / "pyplot.py").write_text("ready = True")
    code = "import matplotlib.pyplot as plt, os; print(plt.ready, os.access('/', os.R_OK), os.access('/proc', os.W_OK))"
    for preload in ((), ("matplotlib",)):
        with SandboxPool(environment=str(tmp_path), preload=preload, limits=_LIMITS) as pool:
            result = pool.run(code)
            assert (result.status, result.stdout, result.stderr) == (Status.OK, "True True False\n", "")
            for forbidden in ("open('/x', 'w')", "__import__('os').mkdir('/x')"):
                assert pool.run(f"import matplotlib\n{forbidden}").status is Status.ERROR


def _shared_object(names: list[str]) -> bytes:
    """An ELF file with one segment to load, one with dynamic entries, and these names among its strings."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    places = [strings.index(name.encode() + b"\0") for name in names]
    base, dynamic = 0x10000, 64 + 2 * 56
    entries = [(1, place) for place in places] + [(5, base + dynamic + 16 * (len(names) + 2)), (0, 0)]
    body = b"".join(struct.pack("<qQ", *entry) for entry in entries) + strings
    size = dynamic + len(body)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096)
    return header + load + struct.pack("<IIQQQQQQ", 2, 4, dynamic, base + dynamic, 0, 16 * len(entries), 0, 8) + body


def test_libraries_that_a_shared_object_needs_are_read_from_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.so").write_bytes(_shared_object(["libfar.so.6", "libnear-1a2b.so.0"]))
    (tmp_path / "deep" / "libnear-1a2b.so.0").write_bytes(_shared_object(["libother.so.1"]))
    assert needed(tmp_path / "one.so") == ["libfar.so.6", "libnear-1a2b.so.0"]
    assert libraries_of(tmp_path) == ("libfar.so.6", "libother.so.1")


@pytest.mark.parametrize("end", [0, 3, 40, 100, 180, 200, 230])
def test_a_file_cut_short_or_of_another_kind_needs_nothing(tmp_path: Path, end: int) -> None:
    (tmp_path / "short.so").write_bytes(_shared_object(["libfar.so.6"])[:end])
    (tmp_path / "script.so").write_text("INPUT(libfar.so.6)")
    (tmp_path / "gone.so").symlink_to("nowhere")
    assert libraries_of(tmp_path) == ()


def test_extension_modules_of_the_library_name_what_the_loader_finds_for_them() -> None:
    folder = Path(struct.__file__).parent / "lib-dynload"
    names = {name for path in folder.glob("*.so") for name in needed(path)}
    assert all(name.startswith(("lib", "ld-")) and ".so" in name for name in names), names
