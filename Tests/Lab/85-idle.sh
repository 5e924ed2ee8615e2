# shellcheck shell=bash
# lab: effort=full
# lab: deadline=300
# A disk that nobody uses costs nothing but its heartbeat, and little memory.

disk0=$(nvme_address 0)
on_exit stop_bulkheadd
start_disks "$(device_entry disk0 "$disk0")"

# switches PID: how often its threads have gone to sleep by themselves.
switches() { cat "/proc/$1"/task/*/status | awk '/^voluntary_ctxt_switches:/ { sum += $2 } END { print sum }'; }
# ticks PID: processor time, in 1/100 s.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
# memory PID FIELD...: the sum of these fields of its status, in kB.
memory() {
  local pid=$1 fields
  shift
  fields=$(printf '%s|' "$@")
  awk -v fields="^(${fields%|}):" '$1 ~ fields { sum += $2 } END { print sum + 0 }' "/proc/$pid/status"
}

# Work first: what polls while it is busy has to come to rest again, and what is allocated on the way counts.
under_load() {
  fio --name=load --filename="$(disk_of disk0)" --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=32 --size=64M \
    --runtime=3 --time_based --output=/dev/null
}
check "the disk is used for a while" under_load

idle() {
  local names=(broker driver) pids before=() spent=() index count too_many=''
  pids=("$(status disk0 brokerPid)" "$(status disk0 driverPid)")
  sleep 3
  for index in 0 1; do
    before+=("$(switches "${pids[index]}")") spent+=("$(ticks "${pids[index]}")")
  done
  # Nobody asks bulkheadd anything in this minute.
  sleep 60
  for index in 0 1; do
    count=$(($(switches "${pids[index]}") - before[index]))
    spent[index]=$(($(ticks "${pids[index]}") - spent[index]))
    echo "${names[index]}: $count voluntary context switches, ${spent[index]}0 ms of processor time in 60 s"
    [ "$count" -le 64 ] || too_many+=" ${names[index]}"
  done
  [ -z "$too_many" ] || fail "more than one a second:$too_many"
}
check "for a minute nothing wakes broker and driver but the heartbeat, at most once a second" idle

resident() {
  local pid name sum=0 own
  for name in brokerPid driverPid; do
    pid=$(status disk0 $name)
    own=$(memory "$pid" RssAnon RssFile)
    echo "$name: $(memory "$pid" RssAnon) kB anonymous, $(memory "$pid" RssFile) kB of files," \
      "$(memory "$pid" RssShmem) kB of arenas"
    sum=$((sum + own))
  done
  echo "together $sum kB beyond the arenas"
  [ "$sum" -lt $((16 << 10)) ] || fail "broker and driver have $sum kB beyond their arenas"
}
check "broker and driver have less than 16 MB beyond their arenas" resident
