"""The offline jobs: demo catalogue, build."""
