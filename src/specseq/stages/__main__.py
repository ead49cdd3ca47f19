"""``python -m specseq.stages NAME --request FILE``: a stage, in a fork of the preloaded process if any."""

import runpy
import sys

from specseq.launch import preloaded


def main() -> None:
    """Run the stage and end with its status."""
    module, arguments = f"specseq.stages.{sys.argv[1]}", sys.argv[2:]
    status = preloaded.run(module, arguments)
    if status is not None:
        sys.exit(status)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
