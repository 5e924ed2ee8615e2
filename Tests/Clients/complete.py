#!/usr/bin/env python3
"""Usage: complete.py zsh|fish COMPLETIONS LINE...

Types each LINE and a Tab into an interactive shell that has read the file COMPLETIONS, and prints what the line is then.
"""

import os
import pty
import re
import select
import sys
import time

SHELLS = {
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source {}; bindkey -e; bindkey '^I' complete-word"),
    "fish": (["fish", "--no-config", "-i"], "source {}"),
}
HOME_KEY, END_KEY = "\x01", "\x05"


class Shell:
    def __init__(self, words):
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.execvpe(words[0], words, dict(os.environ, TERM="xterm", COLUMNS="200", LANG="C.UTF-8"))
        self.shown = ""

    def type(self, text):
        os.write(self.terminal, text.encode())

    def wait(self, pattern):
        """What has matched of what is on the screen since the last time."""
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                sys.exit(f"waited in vain for {pattern!r}, there is {self.shown!r}")
            self.shown += os.read(self.terminal, 65536).decode(errors="replace")
        self.shown = self.shown[found.end() :]
        return found


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in SHELLS:
        sys.exit(__doc__)
    words, setup = SHELLS[sys.argv[1]]
    shell = Shell(words)
    # What is typed is shown too: the quotes tell it from what is printed.
    shell.type(setup.format(sys.argv[2]) + "; echo 'REA''DY'\r")
    shell.wait("READY")
    for line in sys.argv[3:]:
        shell.type(f"{line}\t{HOME_KEY}echo 'LI''NE' {END_KEY} 'E''ND'\r")
        print(" ".join(shell.wait(r"LINE (.*?) *END")[1].split()))
    shell.type("exit\r")


main()
