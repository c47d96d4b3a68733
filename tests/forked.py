"""Commands as real processes; many are forked off one that has read what they share, in the time of one."""

import json
import subprocess
import sys

_PROGRAM = """
import json, os, runpy, sys, tempfile, traceback
import ml_collections.config_flags
import trsum_jax.evaluate, trsum_jax.experiment.check, trsum_jax.protocol.tables
import trsum_jax.video.encoders.loading

def run(command):
    streams = [tempfile.TemporaryFile() for _ in range(2)]
    child = os.fork()
    if not child:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream.fileno(), number)
        code = 0
        try:
            sys.argv = command
            runpy.run_module(command[0], run_name='__main__', alter_sys=True)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for stream in streams:
        stream.seek(0)
    return code, *(stream.read().decode() for stream in streams)

print(json.dumps([run(command) for command in json.loads(sys.argv[1])]))
"""


def run_all(commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of `python -m` with each of the lists."""
    program = [sys.executable, '-W', 'ignore', '-c', _PROGRAM, json.dumps(commands)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return [tuple(one) for one in json.loads(done.stdout)]


def command(*arguments: str) -> subprocess.CompletedProcess:
    """`python -m` with the arguments, as a process by itself."""
    return subprocess.run([sys.executable, '-m', *arguments], capture_output=True, text=True, check=False)
