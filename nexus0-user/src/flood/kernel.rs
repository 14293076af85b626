//! The few `bpf(2)` calls that the flood and the lab make for programs of a dozen instructions: load,
//! attach, run, count. The filter itself is loaded elsewhere.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_RUN: libc::c_long = 10;
const PROGRAM_BY_ID: libc::c_long = 13;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;

const MAP_TYPE_ARRAY: u32 = 2;
const PROGRAM_TYPE_CLASSIFIER: u32 = 3;
const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const ATTACH_EGRESS: u32 = 47;
const GENERIC_MODE: u32 = 1 << 1;
const NATIVE_MODE: u32 = 1 << 2;
const LIVE_FRAMES: u32 = 1 << 1;

/// One BPF instruction as the kernel reads it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// An instruction from its fields, RFC 9669 section 3.
    pub const fn new(code: u8, target: u8, source: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: source << 4 | target,
            offset,
            immediate,
        }
    }
}

/// A loaded XDP program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// A loaded program for frames that leave an interface (TCX, Linux 6.6).
#[derive(Debug)]
pub struct Classifier(OwnedFd);

/// A program attached to an interface; dropped, it detaches.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// An array of u64.
#[derive(Debug)]
pub struct Cells {
    fd: OwnedFd,
}

/// An array of values of any size.
#[derive(Debug)]
pub struct Table {
    fd: OwnedFd,
    value: usize,
}

/// The arguments of a test run, as the kernel reads them.
#[derive(Default)]
#[repr(C)]
struct Run {
    program: u32,
    result: u32,
    data_in_size: u32,
    data_out_size: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_size: u32,
    context_out_size: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    processor: u32,
    batch: u32,
    spare: u32,
}

impl Program {
    /// Loads a program; the verifier's complaint is only its error number.
    pub fn load(instructions: &[Instruction]) -> io::Result<Self> {
        load(PROGRAM_TYPE_XDP, ATTACH_XDP, instructions).map(Self)
    }

    /// A program that gives every frame the same XDP action.
    pub fn constant(action: i32) -> io::Result<Self> {
        Self::load(&[
            Instruction::new(0xb7, 0, 0, 0, action),
            Instruction::new(0x95, 0, 0, 0, 0),
        ])
    }

    /// A program that is loaded already, by its kernel id.
    pub fn by_id(id: u32) -> io::Result<Self> {
        bpf_fd(PROGRAM_BY_ID, &mut [id, 0, 0]).map(Self)
    }

    /// Attaches to an interface of the calling thread's network namespace, in native mode.
    pub fn attach(&self, interface: u32) -> io::Result<Link> {
        attach(&self.0, interface, ATTACH_XDP, NATIVE_MODE)
    }

    /// Attaches in generic mode, after the driver.
    pub fn attach_generic(&self, interface: u32) -> io::Result<Link> {
        attach(&self.0, interface, ATTACH_XDP, GENERIC_MODE)
    }

    /// Runs the program `repeat` times over `frame`; its answer and the mean nanoseconds of a run.
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u64)> {
        let mut run = Run {
            program: number(&self.0),
            data_in_size: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            ..Run::default()
        };
        bpf(PROGRAM_RUN, &mut run)?;
        Ok((run.result, run.duration.into()))
    }

    /// Runs the program `repeat` times over copies of `frame` as if it had arrived on `interface`; what
    /// it answers with `XDP_TX` leaves through that interface. The interface must have a program itself.
    /// The mean nanoseconds of a run, with what receivers on this processor did in between.
    pub fn run_live(
        &self,
        interface: u32,
        frame: &[u8],
        repeat: u32,
        batch: u32,
    ) -> io::Result<u64> {
        // struct xdp_md: data, data_end, data_meta, ingress interface, receive queue, egress interface.
        let context: [u32; 6] = [0, frame.len() as u32, 0, interface, 0, 0];
        let mut run = Run {
            program: number(&self.0),
            data_in_size: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            context_in_size: size_of_val(&context) as u32,
            context_in: context.as_ptr() as u64,
            flags: LIVE_FRAMES,
            batch,
            ..Run::default()
        };
        bpf(PROGRAM_RUN, &mut run)?;
        Ok(run.duration.into())
    }
}

impl Classifier {
    /// Loads a program; the verifier's complaint is only its error number.
    pub fn load(instructions: &[Instruction]) -> io::Result<Self> {
        load(PROGRAM_TYPE_CLASSIFIER, 0, instructions).map(Self)
    }

    /// Attaches to what leaves an interface of the calling thread's network namespace.
    pub fn attach(&self, interface: u32) -> io::Result<Link> {
        attach(&self.0, interface, ATTACH_EGRESS, 0)
    }
}

impl Link {
    /// Puts another program in the place of the attached one, in one step.
    pub fn replace(&self, program: &Program) -> io::Result<()> {
        let mut attributes = [number(&self.0), number(&program.0), 0, 0];
        bpf(LINK_UPDATE, &mut attributes).map(drop)
    }
}

impl Table {
    /// An array of `count` values of `value` zero bytes each.
    pub fn new(value: usize, count: u32) -> io::Result<Self> {
        array(value, count).map(|fd| Self { fd, value })
    }

    /// Sets one value, all of it.
    pub fn set(&self, index: u32, value: &[u8]) -> io::Result<()> {
        if value.len() != self.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        update(&self.fd, index, value.as_ptr() as u64)
    }

    /// The descriptor as an immediate of the instruction that loads the map's address.
    pub fn immediate(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl Cells {
    /// An array of `count` zeroes.
    pub fn new(count: u32) -> io::Result<Self> {
        array(size_of::<u64>(), count).map(|fd| Self { fd })
    }

    /// The value of one cell.
    pub fn get(&self, index: u32) -> io::Result<u64> {
        let mut value = 0_u64;
        let fd = u64::from(number(&self.fd));
        let mut attributes = [fd, &raw const index as u64, &raw mut value as u64, 0];
        bpf(MAP_LOOKUP, &mut attributes)?;
        Ok(value)
    }

    /// Sets one cell.
    pub fn set(&self, index: u32, value: u64) -> io::Result<()> {
        update(&self.fd, index, &raw const value as u64)
    }

    /// The descriptor as an immediate of the instruction that loads the map's address.
    pub fn immediate(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

fn array(value: usize, count: u32) -> io::Result<OwnedFd> {
    let mut attributes: [u32; 18] = [0; 18];
    attributes[..4].copy_from_slice(&[MAP_TYPE_ARRAY, 4, value as u32, count]);
    bpf_fd(MAP_CREATE, &mut attributes)
}

/// `value` is the address of as many bytes as the map's values have.
fn update(map: &OwnedFd, index: u32, value: u64) -> io::Result<()> {
    let mut attributes = [u64::from(number(map)), &raw const index as u64, value, 0];
    bpf(MAP_UPDATE, &mut attributes).map(drop)
}

fn load(program_type: u32, attach: u32, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 3],
        name: [u8; 16],
        interface: u32,
        attach: u32,
    }
    let license = c"GPL";
    let mut attributes = Attributes {
        program_type,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log: [0; 3],
        name: *b"nexus0_tiny\0\0\0\0\0",
        interface: 0,
        attach,
    };
    bpf_fd(PROGRAM_LOAD, &mut attributes)
}

fn attach(program: &OwnedFd, interface: u32, attach: u32, flags: u32) -> io::Result<Link> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        interface: u32,
        attach: u32,
        flags: u32,
        rest: [u64; 6],
    }
    let mut attributes = Attributes {
        program: number(program),
        interface,
        attach,
        flags,
        rest: [0; 6],
    };
    bpf_fd(LINK_CREATE, &mut attributes).map(Link)
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd() as u32
}

fn bpf_fd<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the command succeeded, so the kernel made this descriptor for us and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are a live, fully initialised value of the size given; the addresses in it
    // belong to values that outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
