"""`python -m clarify_rl` is `clarify-rl`."""

from clarify_rl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
