# shellcheck shell=bash
# shellcheck disable=SC2054 # the commas are QEMU's
# Sourced by lab/run and lab/shell: the lab's machine as QEMU arguments.
#
# Root ports sit in slots 2 to 9 of bus 0, so the firmware numbers the buses behind them in order:
#   01:00.0 nvme0, serial BULKHEAD0: namespace 1, 512 MiB, 512-byte blocks
#   02:00.0 nvme1, serial BULKHEAD1: namespace 1, 512 MiB, 4096-byte blocks; namespace 2, 256 MiB, 512-byte; both may be
#           shared with other controllers, so the kernel makes them multipath devices
#   03:00.0 e1000e, 52:54:00:00:00:01     on one hub with
#   04:00.0 virtio-net, 52:54:00:00:00:02
#   05:00.0 edu, QEMU's teaching device (DMA engine with 32 bits of address, MSI)
#   06, 07  empty ports "spare0" and "spare1" for device_add; the drive "disk-spare", 64 MiB, belongs to no device yet
#   08:00.0 virtio-net behind the IOMMU, 52:54:00:00:00:03, on the same hub
# The machine's own disks, 9p and serial devices are on bus 0 from slot 0x10 on.

QEMU=()

# machine_arguments RUN KERNEL_DIRECTORY ROOT_IMAGE TREE MODE: fills QEMU; makes the scratch disks in RUN.
machine_arguments() {
  local run=$1 kernel=$2 image=$3 tree=$4 mode=$5 port tag slot path sockets
  local emulator before=()
  emulator=$("$LAB_SOURCE/qemu")
  mkdir -p "$run/out" "$run/share" "$tree"
  truncate -s 512M "$run/nvme0n1.raw" "$run/nvme1n1.raw"
  truncate -s 256M "$run/nvme1n2.raw"
  truncate -s 64M "$run/spare.raw"

  # Interrupt remapping needs the interrupt controller outside of the kernel, hence kernel-irqchip=off.
  # Five things are as they are for the sake of an emulated machine, and cost nothing on a real one:
  #   chrt           QEMU's first thread is the devices, the others are the processors. A device does not wait for a processor
  #                  to be idle: without this one it does, a millisecond and more, whenever all of them are at work. What
  #                  the thread starts is scheduled as ever (--reset-on-fork). Where it is not permitted, it goes without;
  #   -erms, -fsrm   the kernel copies memory by "rep movsb" where it may, which TCG does one byte at a time: a fifth of the
  #                  speed;
  #   tsc=reliable   Linux takes the HPET for its clock otherwise, each reading of which is an access to a device;
  #   eim            with it the kernel has x2APICs, and ends an interrupt by an MSR. Without it that is a write to memory, which
  #                  the emulator loses now and then while another processor changes what is where in the address space:
  #                  that interrupt counts as being served for ever, and the processor's timer does not come any more;
  #   norandmaps     code at an address of its own in each process is translated anew in each: a program takes three times as
  #                  long to start. Nothing that is tested here rests on addresses being secret.
  ! chrt --reset-on-fork --rr 1 true 2>/dev/null || before=(chrt --reset-on-fork --rr 1)
  QEMU=("${before[@]}" "$emulator" -name bulkhead-lab -nodefaults -no-user-config -display none
    -action "reboot=${LAB_REBOOT:-shutdown}"
    -accel tcg,thread=multi,tb-size=512 -machine q35,kernel-irqchip=off -cpu max,-erms,-fsrm
    -smp "$LAB_SMP" -m "$LAB_MEMORY"
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd"
    -append "console=ttyS0 intel_iommu=on panic=-1 no_timer_check tsc=reliable norandmaps mitigations=off random.trust_cpu=on printk.devkmsg=on net.ifnames=0 lab.mode=$mode $LAB_APPEND"
    -global edu.dma_mask=0xffffffff
    -device intel-iommu,intremap=on,eim=on,device-iotlb=on,caching-mode=off)

  slot=2
  for port in nvme0 nvme1 e1000e virtio edu spare0 spare1 virtio1; do
    QEMU+=(-device "pcie-root-port,id=port-$port,chassis=$slot,slot=$slot,bus=pcie.0,addr=$slot.0")
    slot=$((slot + 1))
  done

  for path in nvme0n1 nvme1n1 nvme1n2 spare; do
    QEMU+=(-drive "if=none,id=disk-$path,file=$run/$path.raw,format=raw,cache=unsafe,discard=unmap")
  done
  QEMU+=(
    -device nvme,id=nvme0,serial=BULKHEAD0,bus=port-nvme0
    -device nvme-ns,drive=disk-nvme0n1,bus=nvme0,nsid=1,shared=off
    -device nvme,id=nvme1,serial=BULKHEAD1,bus=port-nvme1
    -device nvme-ns,drive=disk-nvme1n1,bus=nvme1,nsid=1,logical_block_size=4096,physical_block_size=4096
    -device nvme-ns,drive=disk-nvme1n2,bus=nvme1,nsid=2
    -netdev hubport,id=hub-e1000e,hubid=0 -netdev hubport,id=hub-virtio,hubid=0
    -netdev hubport,id=hub-virtio1,hubid=0
    -device e1000e,id=e1000e,netdev=hub-e1000e,mac=52:54:00:00:00:01,bus=port-e1000e,romfile=
    -device virtio-net-pci,id=virtio,netdev=hub-virtio,mac=52:54:00:00:00:02,bus=port-virtio,romfile=
    # What a driver of ours may have: its DMA goes through the IOMMU, and it has the modern interface only.
    -device virtio-net-pci,id=virtio1,netdev=hub-virtio1,mac=52:54:00:00:00:03,bus=port-virtio1,romfile=,disable-legacy=on,iommu_platform=on
    -device edu,id=edu,bus=port-edu
  )

  # The machine itself: the root disk is written to a throw-away layer, so the image stays as built.
  QEMU+=(
    -drive "if=none,id=root,file=$image,format=raw,snapshot=on,cache=unsafe"
    -device virtio-blk-pci,drive=root,addr=0x10
    -drive "if=none,id=modules,file=$kernel/modules.ext4,format=raw,readonly=on"
    -device virtio-blk-pci,drive=modules,addr=0x11
  )
  slot=18
  for tag in tree share out; do
    path=$run/$tag
    [ $tag != tree ] || path=$tree
    QEMU+=(-fsdev "local,id=$tag,path=$path,security_model=none$([ $tag = out ] || echo ,readonly=on)"
      -device "virtio-9p-pci,fsdev=$tag,mount_tag=$tag,addr=$(printf '0x%x' $slot)")
    slot=$((slot + 1))
  done

  # A socket's path must be short, a run's directory need not be.
  sockets=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-lab.XXXXXX")
  ln -s "$sockets" "$run/sockets"
  # QMP twice: one socket for the host; the other socket is joined to the guest's /dev/virtio-ports/qmp.
  QEMU+=(
    -qmp "unix:$sockets/qmp,server=on,wait=off"
    -chardev "socket,id=qmp-server,path=$sockets/guest,server=on,wait=off" -mon chardev=qmp-server,mode=control
    -chardev "socket,id=qmp-guest,path=$sockets/guest"
    -device virtio-serial-pci,addr=0x18 -device virtserialport,chardev=qmp-guest,name=qmp
  )
}

# share_files RUN SCENARIO...: lays out what the guest sees at /lab/share.
share_files() {
  local run=$1 scenario
  shift
  mkdir -p "$run/share/guest" "$run/share/scenarios"
  cp -r "$LAB_SOURCE/guest/." "$run/share/guest/"
  cp -r "$ROOT/Tests/Clients" "$run/share/clients"
  cp -r "$ROOT/Tests/Lab/snapshots" "$run/share/snapshots"
  : >"$run/share/scenarios.list"
  for scenario in "$@"; do
    cp "$scenario" "$run/share/scenarios/"
    echo "$(basename "$scenario") $(directive "$scenario" deadline 120)" >>"$run/share/scenarios.list"
  done
}

# directive FILE NAME [DEFAULT]: the value of a line "# lab: NAME=VALUE" (or "# lab: NAME", which gives "yes").
directive() {
  local value
  value=$(awk -v name="$2" '$1 == "#" && $2 == "lab:" {
    split($3, part, "="); if (part[1] == name) { print (part[2] == "" ? "yes" : part[2]); exit }
  }' "$1")
  echo "${value:-${3:-}}"
}
