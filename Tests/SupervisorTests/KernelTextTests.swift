import Glibc
import PCI
import Testing

@testable import Netlink
@testable import Supervisor

/// Texts of the kernel, as files below /proc and /sys have them.
@Suite struct KernelTextTests {
  @Test func theMountOfControlGroupsIsFound() {
    let unified = """
      22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
      30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
      """
    #expect(ControlGroups.mountPoint(in: unified) == "/sys/fs/cgroup")
    let hybrid = """
      30 22 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
      31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
      """
    #expect(ControlGroups.mountPoint(in: hybrid) == "/sys/fs/cgroup/unified")
    #expect(ControlGroups.mountPoint(in: "22 1 8:1 / / rw - ext4 /dev/sda1 rw") == nil)
    #expect(
      ControlGroups.ownPath("1:name=systemd:/x\n0::/system.slice/bulkhead.service\n")
        == "/system.slice/bulkhead.service")
  }

  @Test func usersAreDistinct() throws {
    var seen: Set<UInt32> = []
    for text in ["0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:00:1f.7", "0001:01:00.0", "00ff:ff:1f.7"] {
      let address = try #require(PCIAddress(text))
      for user in [ProcessUser.broker(of: address), ProcessUser.driver(of: address)] {
        #expect(seen.insert(user).inserted)
        #expect((1_879_048_192...2_147_483_646).contains(user))
      }
    }
  }

  @Test func usesOfABlockDeviceAreNamed() {
    var template = Array("/tmp/bulkhead-use-XXXXXX".utf8CString)
    let root = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer { _ = try? ChildProcess.run("/bin/rm", ["-rf", root]) }
    for folder in ["proc/1", "sys/class/block/nbd3/nbd3p1/holders", "sys/class/block/nbd3p1/holders/dm-0"] {
      #expect(FileText.makeDirectories("\(root)/\(folder)") == 0)
    }
    #expect(FileText.write("43:96\n", to: "\(root)/sys/class/block/nbd3/dev") == 0)
    #expect(FileText.write("43:97\n", to: "\(root)/sys/class/block/nbd3p1/dev") == 0)
    #expect(
      FileText.write(
        "40 22 43:97 / /mnt rw - ext4 /dev/nbd3p1 rw\n41 22 43:98 / /other rw - ext4 /dev/nbd4 rw\n",
        to: "\(root)/proc/1/mountinfo") == 0)
    #expect(
      FileText.write("Filename Type Size\n/dev/nbd3p2\tpartition 1\n/dev/nbd33 partition\n", to: "\(root)/proc/swaps")
        == 0)
    #expect(
      OutletUse(proc: "\(root)/proc", sys: "\(root)/sys").uses(of: "nbd3") == [
        "/dev/nbd3 is mounted on /mnt", "/dev/nbd3 is in use as swap space", "/dev/nbd3p1 is part of /dev/dm-0",
      ])
    #expect(OutletUse(proc: "\(root)/proc", sys: "\(root)/sys").uses(of: "nbd5") == [])
    // btrfs has a number of its own, names one of its devices, and is mounted where we may not see it.
    #expect(
      FileText.write(
        "40 22 0:52 / /srv rw,noatime shared:7 - btrfs /dev/nbd3p1 rw\n41 22 0:53 / /x rw - tmpfs nbd5 rw\n",
        to: "\(root)/proc/1/mountinfo") == 0)
    #expect(FileText.write("", to: "\(root)/proc/swaps") == 0)
    for disk in ["nbd3p1", "nbd5"] {
      #expect(FileText.makeDirectories("\(root)/sys/fs/btrfs/0b-1c/devices/\(disk)") == 0)
    }
    #expect(
      OutletUse(proc: "\(root)/proc", sys: "\(root)/sys").uses(of: "nbd3") == [
        "/dev/nbd3 is mounted on /srv", "/dev/nbd3p1 is part of /dev/dm-0",
      ])
    #expect(
      OutletUse(proc: "\(root)/proc", sys: "\(root)/sys").uses(of: "nbd5") == [
        "/dev/nbd5 is part of the mounted btrfs 0b-1c"
      ])
  }

  @Test func ueventsOfFunctionsAreNews() throws {
    func news(_ action: String, _ path: String, _ subsystem: String) throws -> UeventFeed.News? {
      let text = "\(action)@\(path)\0ACTION=\(action)\0DEVPATH=\(path)\0SUBSYSTEM=\(subsystem)\0"
      return UeventFeed.news(of: try Uevent(parsing: Array(text.utf8)))
    }
    let path = "/devices/pci0000:00/0000:00:03.0/0000:06:00.0"
    guard case .added(let address) = try news("add", path, "pci") else {
      Issue.record("an added function is no news")
      return
    }
    #expect(address == PCIAddress("0000:06:00.0"))
    guard case .removed = try news("remove", path, "pci") else {
      Issue.record("a removed function is no news")
      return
    }
    #expect(try news("bind", path, "pci") == nil)
    #expect(try news("add", path + "/nvme/nvme0", "nvme") == nil)
    #expect(try news("add", "/bus/pci/drivers/x", "pci") == nil)
  }

  @Test func removalsAreHeardOf() {
    let address = PCIAddress("0000:06:00.0")
    #expect(
      UnplugNotice.device(
        in: "vfio-pci 0000:06:00.0: No device request channel registered, blocked until released by user") == address)
    #expect(UnplugNotice.device(in: "vfio-pci 0000:06:00.0: Relaying device request to user (#0)") == address)
    #expect(UnplugNotice.device(in: "vfio-pci 0000:06:00.0: enabling device (0000 -> 0002)") == nil)
    #expect(UnplugNotice.device(in: "evil: vfio-pci 0000:06:00.0: Relaying device request to user (#0)") == nil)
  }

  @Test func processesEndInWords() throws {
    #expect(try ChildProcess.run("/bin/sh", ["-c", "exit 3"])?.description == "it left with status 3")
    #expect(try ChildProcess.run("/bin/sh", ["-c", "kill -9 $$"])?.description == "it was killed (SIGKILL)")
    #expect(try ChildProcess.run("/bin/true", []) == ProcessEnd(status: 0, isKilled: false))
    #expect(throws: (any Error).self) { try ChildProcess.run("/nonexistent", []) }
  }
}

@Suite struct ControlGroupNameTests {
  @Test(arguments: [
    ("/run/bulkhead", "bulkhead"), ("/tmp/test/", "bulkhead-tmp-test"),
    ("/run/user/0/bulkhead", "bulkhead-run-user-0-bulkhead"),
  ])
  func eachRuntimeFolderHasAGroup(_ runtime: String, _ name: String) {
    #expect(ControlGroups.name(for: runtime) == name)
  }
}
