#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image of the assignment.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"

if ! python3 -c 'import ensurepip, venv' 2> /dev/null; then
  apt-get update
  apt-get install -y python3 python3-venv
fi
python3 -m venv "$root/venv"

# A wheel in the archive comes before an index. ATTN_GRADER_PIP: other arguments of pip, for a mirror or a folder of
# wheels; by default torch comes as its CPU build, a tenth of the size.
grader="@@GRADER@@"
for wheel in "$root"/source/*.whl; do
  if [ -f "$wheel" ]; then
    grader="$wheel"
  fi
done
# shellcheck disable=SC2086  # several arguments
"$root/venv/bin/python" -m pip install --no-cache-dir \
  ${ATTN_GRADER_PIP---extra-index-url https://download.pytorch.org/whl/cpu} "$grader"

# What cannot work must fail here and not at the first submission; a model that is no part of the grader is fetched now.
"$root/venv/bin/python" -c 'from pytest_attn_grader.models.load import load_model; load_model("@@MODEL@@", device="cpu")'
