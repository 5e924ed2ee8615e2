import Platform
import Testing

@testable import Emulation

@Suite struct OptionTests {
  @Test func readsEverything() throws {
    let options = try EmulationOptions(
      parsing: "nvme,file=a,,b=c.img,size=64M,lba=4096,namespaces=2,queues=8,entries=256,vectors=4,cache=on,journal=on,"
        + "atomic=16,readonly=off,sync=off,spin=20us,seed=7,serial=S1,misbehave=lost-interrupt:every=50,"
        + "misbehave=stall:after=100:for=2s:on=write:chance=0.25:count=3")
    var wanted = EmulationOptions()
    wanted.file = "a,b=c.img"
    wanted.size = 64 << 20
    wanted.blockSize = 4096
    wanted.namespaces = 2
    wanted.queues = 8
    wanted.queueEntries = 256
    wanted.vectors = 4
    wanted.journal = true
    wanted.atomicBlocks = 16
    wanted.sync = false
    wanted.spin = 20000
    wanted.seed = 7
    wanted.serial = "S1"
    wanted.misbehaviours = [
      Misbehaviour(.lostInterrupt, every: 50),
      Misbehaviour(.stall(2_000_000_000), scope: .write, after: 100, chance: 250_000, count: 3),
    ]
    #expect(options == wanted)
  }

  @Test func whatEndsTheDeviceHappensOnce() throws {
    for kind in ["stall", "vanish", "fatal", "power-loss"] { #expect(try Misbehaviour(parsing: kind).count == 1) }
    #expect(try Misbehaviour(parsing: "stall:count=9").count == 9)
    for kind in Misbehaviour.kinds where kind != "identify" { _ = try Misbehaviour(parsing: kind) }
    #expect(try Misbehaviour(parsing: "late:by=20ms").kind == .late(20_000_000))
    #expect(try Misbehaviour(parsing: "identify:mdts=255").kind == .identify(.transferShift(255)))
  }

  @Test(arguments: [
    ("", "nvme"), ("sata,size=1M", "nvme"), ("nvme,size", "name=value"), ("nvme,=1", "name=value"),
    ("nvme,,size=1M", "nvme"), ("nvme,size=", "bytes"), ("nvme,size=1X", "bytes"), ("nvme,size=-1", "bytes"),
    ("nvme,size=99999999999T", "bytes"), ("nvme,size=1M,size=2M", "before"), ("nvme,lba=1024", "512 or 4096"),
    ("nvme,size=4608,lba=4096", "multiple"), ("nvme,queues=0", "from 1 to 16"), ("nvme,cache=yes", "on or off"),
    ("nvme,cache=off,journal=on", "journal"), ("nvme,speed=9", "options are"), ("nvme,file=", "path"),
    ("nvme,spin=20", "20ms"), ("nvme,spin=9999999999999s", "20ms"), ("nvme,serial=a b", "printable"),
    ("nvme,misbehave=sulk", "misbehaviours are"), ("nvme,misbehave=stall:by=2s", "for="),
    ("nvme,misbehave=stall:for=soon", "20ms"), ("nvme,misbehave=stall:every=0", "from 1"),
    ("nvme,misbehave=stall:chance=2", "probability"), ("nvme,misbehave=stall:on=trim", "admin"),
    ("nvme,misbehave=duplicate:code=1", "nothing of its own"), ("nvme,misbehave=identify", "lbads="),
    ("nvme,misbehave=identify:mdts=256", "255"), ("nvme,misbehave=stall:after=1:after=2", "before"),
    ("nvme,misbehave=identify:mdts=1:lbads=9", "one of"),
  ])
  func saysWhatIsWrong(_ text: String, _ hint: String) throws {
    let failure = #expect(throws: Failure.self) { try EmulationOptions(parsing: text) }
    #expect(failure?.code == "emulation-option")
    #expect(failure?.hint.contains(hint) == true, "\(failure?.description ?? "")")
  }

  @Test func filesThatCannotBe() throws {
    for text in ["nvme,file=/nonexistent/disk.img", "nvme,file=/dev/null", "nvme,file=/tmp,readonly=on"] {
      let failure = #expect(throws: Failure.self) {
        try EmulatedNVMeBacking(EmulationOptions(parsing: text), loop: EventLoop())
      }
      #expect(failure?.code == "emulated-image")
    }
    let empty = TemporaryFile()
    #expect(throws: Failure.self) {
      try EmulatedNVMeBacking(EmulationOptions(parsing: "nvme,file=\(empty.path)"), loop: EventLoop())
    }
  }
}
