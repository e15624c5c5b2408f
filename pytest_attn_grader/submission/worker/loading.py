"""Import the file or module of a submission. Part of the worker."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .definitions import can_be_left_out, run_definitions, run_definitions_after
from .failures import PACKAGE, WorkerError, truncate
from .notebook import load_notebook


class Loader:
    """Imports a submission, as far as it defines what is graded.

    Args:
        target: the name of what is graded, where it was named.
        definitions_only: run nothing of the file but its definitions; else they are run alone only after a failure.
        left_out: gets what was left out, by the module's name.
    """

    def __init__(self, target: str | None, *, definitions_only: bool, left_out: dict[str, str]) -> None:
        self._target = target
        self._definitions_only = definitions_only
        self._left_out = left_out

    def load(self, path: str | None, name: str | None) -> ModuleType:
        """Import a file under a name, or a module by its name.

        Raises:
            WorkerError: there is none.
            BaseException: what its code raises.
        """
        if path is None:
            if name is None:
                raise WorkerError("no-target", "neither a module nor a file was named")
            return _import_named(name)
        # Follow links in the folder's name, as was done for the root, but not a link that is the file itself.
        file = Path(path).parent.resolve() / Path(path).name
        if not file.is_file():
            raise WorkerError("no-target", f"There is no file {file.name!r}.", remedy="Check the path.")
        name = name or file.stem
        if file.suffix == ".ipynb":
            module, left_out = load_notebook(
                file, f"notebook_{name}", self._target, definitions_only=self._definitions_only
            )
            if left_out is not None:
                self._left_out[module.__name__] = left_out
            return module
        if "." in name and not self._definitions_only:
            # Inside a package relative imports work, so it is imported as part of it.
            try:
                module = _import_named(name)
            except Exception as error:
                if file.name == "__init__.py" or not can_be_left_out(error):
                    raise
                return self._load_without_packages(error, file, name)
            if getattr(module, "__file__", None) and Path(str(module.__file__)).resolve() == file.resolve():
                return module
        if name in sys.modules or "." in name or not name.isidentifier():
            # A submission called torch.py or random.py: the library of that name is loaded already and stays.
            name = "submission_" + "".join(letter if letter.isidentifier() else "_" for letter in file.stem)
        return self._load_file(file, name)

    def _load_file(self, file: Path, name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise WorkerError("no-target", f"{file.name!r} is not a Python source file.", remedy="Name a .py file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            self._run(spec, file, module)
        except BaseException as error:
            # As the import system does: half a module must not be found by the next import.
            sys.modules.pop(name, None)
            if isinstance(error, ImportError) and "no known parent package" in str(error):
                return self._load_into_package(file)
            raise
        return module

    def _run(self, spec: ModuleSpec, file: Path, module: ModuleType) -> None:
        assert spec.loader is not None
        if self._definitions_only:
            self._left_out[module.__name__] = run_definitions(file, module, self._target)
            return
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            if not can_be_left_out(error) or sys.modules.get(module.__name__) is not module:
                raise
            self._left_out[module.__name__] = run_definitions_after(error, file, module, self._target)

    def _load_without_packages(self, error: Exception, file: Path, name: str) -> ModuleType:
        """A file of a package that cannot be imported: its __init__.py may need what the attention does not need."""
        packages = name.split(".")[:-1]
        for known in [each for each in sys.modules if each.split(".")[0] == packages[0]]:
            del sys.modules[known]
        for depth, folder in zip(range(len(packages), 0, -1), file.parents, strict=False):
            package = ModuleType(".".join(packages[:depth]))
            package.__path__ = [str(folder)]
            sys.modules[package.__name__] = package
        try:
            module = self._load_file(file, name)
        except Exception:  # noqa: BLE001 - the file needs its package, whose own error says more
            raise error from None
        what = truncate(f"{type(error).__name__}: {error}".splitlines()[0], 200)
        self._left_out.setdefault(name, f"importing {packages[0]} failed ({what}); {file.name} was taken without it")
        return module

    def _load_into_package(self, file: Path) -> ModuleType:
        """A file that imports from beside itself with a dot, in a folder that is no package: it is taken for one."""
        package = ModuleType(PACKAGE)
        package.__path__ = [str(file.parent)]
        sys.modules[PACKAGE] = package
        return self._load_file(file, f"{PACKAGE}.{file.stem}")


def _import_named(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise WorkerError(
                "no-target", f"There is no module named {error.name!r}.", remedy="Check the name and the folder."
            ) from None
        raise
