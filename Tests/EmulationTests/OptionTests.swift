import Platform
import Testing

@testable import Emulation

@Suite struct OptionTests {
  @Test func nothingNeedsNoUnit() throws { #expect(try EmulationOptions(parsing: "nvme,spin=0").spin == 0) }

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

  @Test(arguments: [
    "nvme", "nvme,size=67108864,lba=4096,namespaces=2,queues=8,entries=256,vectors=4,journal=on,atomic=16",
    "nvme,cache=off,readonly=on,sync=off,spin=20us,seed=7,serial=A,,B",
    "nvme,misbehave=bad-status:code=641,misbehave=unknown-id:after=2,misbehave=duplicate:every=3",
    "nvme,misbehave=late:by=1500us:chance=0.000001,misbehave=lost-interrupt:count=3:on=write",
    "nvme,misbehave=spurious-interrupt,misbehave=repeated-interrupt:by=0ns,misbehave=stall:count=1",
    "nvme,misbehave=stall:for=2s:count=7,misbehave=vanish:for=1ns:count=1,misbehave=vanish:count=2",
    "nvme,misbehave=wrong-phase:chance=0.999999,misbehave=bad-head:at=7,misbehave=fatal:count=1",
    "nvme,misbehave=never-ready,misbehave=power-loss:count=1",
    "nvme,misbehave=identify:blocks=1,misbehave=identify:lbads=2,misbehave=identify:mdts=3",
    "nvme,misbehave=identify:namespaces=4,misbehave=identify:format=5,misbehave=identify:entries=6",
  ])
  func tellsWhatItRead(_ text: String) throws {
    let options = try EmulationOptions(parsing: text)
    #expect(options.textWithoutFile == text)
    var named = options
    named.name = "a,b"
    named.file = "/x,y"
    #expect(named.textWithoutFile == text)
    #expect(try EmulationOptions(parsing: named.description) == named)
  }

  @Test func everyMisbehaviourIsTold() throws {
    for kind in Misbehaviour.kinds {
      let text = kind == "identify" ? "identify:mdts=0" : kind
      let misbehaviour = try Misbehaviour(parsing: text)
      #expect(try Misbehaviour(parsing: misbehaviour.description) == misbehaviour)
    }
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
