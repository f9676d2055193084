"""Run a command and print its wall seconds, CPU seconds and peak memory as JSON.

A child counts the memory of the process that started it until it runs its own program. This small
process stands in between, so that the peak is the command's.
"""

import json
import os
import subprocess
import sys
import time


def main(command: list[str]) -> None:
    """Print one JSON object: wall, cpu, peak_mb, returncode and the command's standard output."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    print(
        json.dumps(
            {
                "wall": time.perf_counter() - started,
                "cpu": usage.ru_utime + usage.ru_stime,
                "peak_mb": usage.ru_maxrss / 2**10,
                "returncode": process.returncode,
                "output": output,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
