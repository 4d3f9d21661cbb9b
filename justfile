# `just check` before every commit, `just test` before every push.
check:
    ruff format src tests benchmarks examples
    ruff check src tests benchmarks examples
    mypy

test *arguments:
    pytest {{arguments}}

fast:
    pytest -m "not slow"

ci:
    bash .ci/run
