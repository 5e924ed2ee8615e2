# shellcheck shell=bash
# Linked to /etc/profile.d by lab/guest/init: what an interactive shell in the lab starts with.
[ -n "${PS1:-}" ] || return 0
cd /root || return 0
PS1='lab:\w# '
stty rows 40 columns 120 2>/dev/null || true
# shellcheck source=lab/guest/lib.sh
. /lab/share/guest/lib.sh
# shellcheck source=/dev/null
[ ! -r /usr/share/bash-completion/bash_completion ] || . /usr/share/bash-completion/bash_completion
cat <<'TEXT'

The Bulkhead lab. Leave with "exit"; Ctrl-A X ends the machine at once.
  bulkheadctl check          what can be isolated
  start_bulkheadd            starts the supervisor (log: /lab/out/bulkheadd.log), then: bulkheadctl
  qmp query-status           talks to QEMU (qmp -h)
  less /lab/share/guest/lib.sh   the functions that scenarios use, defined in this shell too

TEXT
