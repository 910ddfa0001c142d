#!/bin/sh
# Installs packages into the image's own Python, in the versions of the lock; arguments are uv's.
# TORCH_BACKEND, if it is set, says which build of PyTorch.
exec /tools/bin/uv pip install --system --compile-bytecode --link-mode copy \
  --constraints requirements.lock ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} "$@"
