"""Keep files of the current directory (conftest.py, ini files, modules) out of the grading process.

With `--attn-student` and no paths, no conftest.py is loaded, nothing is imported from that directory, and an ini file
inside the submission's folder is ignored. What pytest imports before it loads any plugin cannot be undone, but it is
detected, and then nothing is graded.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import pytest

from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.plugin.collection import disable_conftests, drop_cwd_from_sys_path, has_explicit_paths
from pytest_attn_grader.settings.options import read_option
from pytest_attn_grader.settings.settings import INI_FILE_KEY, IniFile
from pytest_attn_grader.submission.target import Target, find_target

# Plugins that no check uses. Hypothesis's imports its library at the end of every run (0.1 s, and 0.5 s without
# bytecode).
_UNUSED_PLUGINS = ("hypothesispytest",)
# pytest's plugin for log records visits every logger three times a test, and transformers brings hundreds. The checks
# log nothing. It is unregistered whole: a plugin that is only blocked leaves open what it opens at its start.
_LOGGING_PLUGIN = "logging"
_LOGGING_OPTIONS = ("log_cli", "log_cli_level", "log_level", "log_file", "log_file_level")


def isolate_from_cwd(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Isolate the run from the current directory, before pytest loads any conftest.py."""
    disable_conftests(early_config)
    typed, source = read_option(early_config, "student", early=True)
    ini_path = early_config.inipath
    early_config.stash[INI_FILE_KEY] = IniFile(_relative_path(ini_path, early_config))
    if typed is not None and not has_explicit_paths(early_config):
        try:
            target = find_target(typed.strip(), Path(early_config.invocation_params.dir))
        except (UsageError, ValueError):
            target = None  # reported when the settings are read
        # An ini file that names the submission is the user's own: without it nothing would be graded.
        is_students = target is not None and ini_path is not None and ini_path.resolve().is_relative_to(target.root)
        if is_students and not source.startswith("ini"):
            _ignore_ini(early_config, parser, args)
    drop_cwd_from_sys_path(early_config)
    if not has_explicit_paths(early_config):
        for name in _UNUSED_PLUGINS:
            if early_config.pluginmanager.hasplugin(name):
                early_config.pluginmanager.unregister(name=name)
        if not _uses_logging(early_config):
            early_config.pluginmanager.unregister(name=_LOGGING_PLUGIN)


def _uses_logging(config: pytest.Config) -> bool:
    """Whether log records are shown or written, by the command line or by an ini file that is not ignored."""
    if not config.pluginmanager.hasplugin("logging"):
        return False  # -p no:logging; then pytest does not know these options either
    typed = config.known_args_namespace
    return any(getattr(typed, name, None) or config.getini(name) for name in _LOGGING_OPTIONS)


def _ignore_ini(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Ignore the ini file, unless it was named with `-c`; options typed with `-o` still apply."""
    added = config.getini("addopts")
    typed_args = args[len(added) :] if added and args[: len(added)] == added else args
    # A copy, because parse_known_args writes into the namespace it is given.
    options = parser.parse_known_args(typed_args, namespace=copy.copy(config.option))
    if options.inifilename:
        return
    for entry in config.getini("pythonpath"):
        while str(entry) in sys.path:
            sys.path.remove(str(entry))
    before = config.known_args_namespace
    options.noconftest, options.confcutdir = before.noconftest, options.confcutdir or before.confcutdir
    config.known_args_namespace = options
    args[:] = typed_args
    values = getattr(config, "_inicfg", None)
    if values is None:  # pytest before 9
        values = getattr(config, "inicfg", None)
    if values is None:
        raise pytest.UsageError("this version of pytest keeps its ini values elsewhere: name an ini file with -c")
    typed_values = {each.partition("=")[0] for each in options.override_ini or ()}
    ignored = [name for name in values if name not in typed_values]
    for name in ignored:
        del values[name]
    config._inicache.clear()
    names = tuple(name for name in ignored if name.startswith("attn_"))
    config.stash[INI_FILE_KEY] = IniFile(_relative_path(config.inipath, config), ignored=True, ignored_options=names)


def reject_imported_student_modules(target: Target, config: pytest.Config) -> None:
    """Refuse to grade when a module of the student is imported in this process, where it can change anything.

    Raises:
        UsageError: there is such a module, although no paths were named.
    """
    if has_explicit_paths(config):
        return
    inside = os.path.join(target.root, "")
    installed = [Path(__file__).resolve().parents[1], *(Path(each).resolve() for each in (sys.prefix, sys.base_prefix))]
    for name, module in list(sys.modules.items()):
        # Not by getattr, which some packages answer by importing more.
        file = getattr(module, "__dict__", {}).get("__file__")
        # The main program belongs to the user who started it.
        if not isinstance(file, str) or name in {"__main__", "__mp_main__"}:
            continue
        # As text: there are thousands of modules, and paths are slow.
        if os.path.isabs(file) and target.root.name not in file:
            continue
        if not os.path.abspath(file).startswith(inside):
            continue
        path = Path(os.path.abspath(file))
        # Modules that a library generates name files that do not exist.
        if path.is_file() and not any(path.is_relative_to(folder) for folder in installed):
            raise UsageError(
                f"{_relative_path(path, config)} has been imported into the grading process (as {name!r}), where "
                "nothing of the submission may run. Start `pytest` instead of `python -m pytest`, without PYTHONPATH "
                "and -p, or in another folder."
            )


def _relative_path(path: Path | None, config: pytest.Config) -> str | None:
    """Get a path relative to where pytest was started: reports show no absolute paths."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return path.name  # on another drive
