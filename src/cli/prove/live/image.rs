//! The image of the temporary containers. It has one program of a few bytes, which sleeps for some minutes and ends.
//! Pure.
//!
//! A container only has to exist: this process itself sends the probes, in the container's network namespace.

use std::io;

/// How long the program sleeps, in seconds. Docker removes the container after that, even if no other process is left
/// to do it.
const SLEEPS: u64 = 300;

/// Where the program is in memory.
const BASE: u64 = 0x40_0000;
/// The sizes of the file header, and of the header of its only segment.
const FILE_HEADER: u16 = 64;
const PART_HEADER: u16 = 56;
/// The offset of the time to sleep, after the instructions.
const TIME: usize = 32;

/// The instructions for a processor, with the processor's number in ELF: `nanosleep(&time, NULL)`, then `exit(0)`.
fn instructions(processor: &str) -> Option<(u16, Vec<u8>)> {
    match processor {
        "x86_64" => Some((
            62,
            [
                &[0xb8, 35, 0, 0, 0][..],         // mov eax, SYS_nanosleep
                &[0x48, 0x8d, 0x3d, 20, 0, 0, 0], // lea rdi, [time]
                &[0x31, 0xf6, 0x0f, 0x05],        // xor esi, esi; syscall
                &[0xb8, 60, 0, 0, 0],             // mov eax, SYS_exit
                &[0x31, 0xff, 0x0f, 0x05],        // xor edi, edi; syscall
            ]
            .concat(),
        )),
        "aarch64" => {
            let words: [u32; 7] = [
                0x1000_0100, // adr x0, time
                0xd280_0001, // mov x1, 0
                0xd280_0ca8, // mov x8, SYS_nanosleep
                0xd400_0001, // svc 0
                0xd280_0000, // mov x0, 0
                0xd280_0ba8, // mov x8, SYS_exit
                0xd400_0001, // svc 0
            ];
            Some((183, words.iter().flat_map(|word| word.to_le_bytes()).collect()))
        }
        _ => None,
    }
}

/// The program as an ELF file; `None` for a processor for which there are no instructions.
fn program(processor: &str) -> Option<Vec<u8>> {
    let (number, mut code) = instructions(processor)?;
    code.resize(TIME, 0);
    code.extend([SLEEPS, 0].iter().flat_map(|part| part.to_le_bytes()));
    let headers = u64::from(FILE_HEADER + PART_HEADER);
    let size = headers + u64::try_from(code.len()).ok()?;
    let short = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let word = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let long = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    Some(
        [
            // 64 bits, little-endian, version 1; an executable file.
            [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9]].concat(),
            short(&[2, number]),
            word(&[1]),
            // The entry point, the offset of the segment's header, and no sections.
            long(&[BASE + headers, FILE_HEADER.into(), 0]),
            word(&[0]),
            short(&[FILE_HEADER, PART_HEADER, 1, 0, 0, 0]),
            // The whole file is loaded, readable and executable.
            word(&[1, 5]),
            long(&[0, BASE, BASE, size, size, 0x1_0000]),
            code,
        ]
        .concat(),
    )
}

/// The archive for `docker import`; `None` for a processor for which there are no instructions.
pub(super) fn archive(processor: &str) -> Option<io::Result<Vec<u8>>> {
    program(processor).map(|program| {
        let mut header = tar::Header::new_ustar();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, "wait", program.as_slice())?;
        archive.into_inner()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it runs the program, and looks at its file and its state")]
    fn the_program_sleeps_until_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wait");
        let archive = archive(std::env::consts::ARCH).unwrap().unwrap();
        tar::Archive::new(archive.as_slice()).unpack(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        let mut child = loop {
            // A process that another test starts may still have the file open for writing.
            match std::process::Command::new(&file).spawn() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn the_other_processor_gets_a_whole_file_too_and_a_third_one_none() {
        for processor in ["x86_64", "aarch64"] {
            let program = program(processor).unwrap();
            assert_eq!(program.len(), usize::from(FILE_HEADER + PART_HEADER) + TIME + 16, "{processor}");
        }
        assert!(archive("riscv64").is_none());
    }
}
