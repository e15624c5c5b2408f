#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image of the assignment.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"

if ! python3 -c 'import ensurepip, venv' 2> /dev/null; then
  apt-get update
  apt-get install -y python3 python3-venv
fi
python3 -m venv "$root/venv"

# A wheel in the archive comes before an index. uv takes the CPU build of PyTorch, a tenth of the size. With
# ATTN_GRADER_PIP, pip installs with these arguments: for a mirror or a folder of wheels.
grader="@@GRADER@@"
for wheel in "$root"/source/*.whl; do
  if [ -f "$wheel" ]; then
    grader="$wheel"
  fi
done
python="$root/venv/bin/python"
if [ -n "${ATTN_GRADER_PIP+set}" ]; then
  # shellcheck disable=SC2086  # several arguments
  "$python" -m pip install --no-cache-dir $ATTN_GRADER_PIP "$grader"
else
  "$python" -m pip install --no-cache-dir uv
  "$python" -m uv pip install --no-cache --python "$python" --torch-backend=cpu "$grader"
fi

# What cannot work must fail here and not at the first submission; a model that is no part of the grader is fetched now.
"$python" -c 'from pytest_attn_grader.models.load import load_model; load_model("@@MODEL@@", device="cpu")'
